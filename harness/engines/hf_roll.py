"""Teacher-forced windows: likelihoods, the baseline's stored states, and divergence from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.engines.hf_head import Head, StoredHead, from_numpy, half, save_head, to_numpy
from harness.engines.hf_load import input_device
from harness.engines.seam import Window, WindowScore
from harness.engines.states import read_states, save_array
from harness.errors import EngineError

POSITIONS = 128
"""Positions whose logits over the whole vocabulary are held at once."""
_HEADS: dict[str, StoredHead] = {}
"""The baseline's output layer, read once per worker."""


def roll(
    model: Any, head: Head, windows: Sequence[Window], *, states_out: str | None, states_in: str | None
) -> list[WindowScore]:
    """Score windows one after the other. See `seam.Engine.roll`."""
    import torch

    if states_out is not None and head.trunk is None:
        raise EngineError(
            f"divergence needs the model's final hidden states, but {head.why_not}; set divergence: false"
        )
    stored = None if states_in is None else _stored(states_in, windows, input_device(model))
    kept, scores, row = [], [], 0
    with torch.no_grad():
        for window in windows:
            count = len(window.tokens) - window.scored_from
            ids = torch.tensor([window.tokens[:-1]], device=input_device(model))
            if head.trunk is None:
                own, project = model(input_ids=ids, use_cache=False).logits[0, -count:], None
            else:
                own, project = head.hidden(ids)[0, -count:], head.logits
            if states_out is not None:
                kept.append(own)
            base = None if stored is None else (stored[0], stored[1][row : row + count])
            scores.append(_score(own, project, window.tokens[window.scored_from :], base))
            row += count
    if states_out is not None:
        save_head(head, Path(states_out).parent)
        save_array(Path(states_out), to_numpy(half(torch.cat(kept))))
    return scores


def _stored(states_in: str, windows: Sequence[Window], device: Any) -> tuple[StoredHead, Any]:
    """The baseline's output layer and its states for these windows, on `device`."""
    folder = str(Path(states_in).parent)
    states = from_numpy(read_states(states_in, windows)).to(device)
    if folder not in _HEADS:
        _HEADS.clear()
        _HEADS[folder] = StoredHead.read(Path(folder), device)
    return _HEADS[folder], states


def _score(own: Any, project: Any, tokens: Sequence[int], base: tuple[StoredHead, Any] | None) -> WindowScore:
    """Log-probabilities, and against the baseline KL, top-1 agreement and change of the true token's probability."""
    import torch

    wanted = torch.tensor(tokens, device=own.device)
    log_probs: list[float] = []
    kl: list[float] = []
    agree: list[bool] = []
    delta: list[float] = []
    for start in range(0, len(tokens), POSITIONS):
        part = own[start : start + POSITIONS]
        true = wanted[start : start + POSITIONS, None]
        log_q = torch.log_softmax((part if project is None else project(part)).float(), -1)
        picked = log_q.gather(-1, true)
        log_probs.extend(picked[:, 0].tolist())
        if base is None:
            continue
        log_p = torch.log_softmax(base[0].logits(base[1][start : start + POSITIONS]), -1)
        p = log_p.exp()
        kl.extend((p * (log_p - log_q)).sum(-1).clamp_min(0.0).tolist())
        agree.extend((log_p.argmax(-1) == log_q.argmax(-1)).tolist())
        delta.extend((picked.exp() - p.gather(-1, true))[:, 0].tolist())
    if base is None:
        return WindowScore(log_probs=tuple(log_probs))
    return WindowScore(log_probs=tuple(log_probs), kl=tuple(kl), top1_agree=tuple(agree), delta_p=tuple(delta))
