"""Teacher-forced windows: likelihoods, the baseline's stored states, and divergence from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from harness.engines.hidden_states import check_vocabularies, read_states, save_array
from harness.engines.protocol import Window, WindowScore
from harness.engines.transformers.context_limits import ContextLimits
from harness.engines.transformers.lm_head import LmHead, StoredLmHead, from_numpy, half, save_lm_head, to_numpy
from harness.engines.transformers.loading import input_device
from harness.engines.transformers.memory_budget import MemoryBudget
from harness.engines.transformers.streaming_softmax import (
    Blocks,
    Exponentials,
    Given,
    Projection,
    divergence,
    log_probs,
)
from harness.errors import EngineError

_HEADS: dict[str, StoredLmHead] = {}
"""The baseline's output layer, read once per worker."""


def score_windows(
    model: Any,
    head: LmHead,
    budget: MemoryBudget,
    limits: ContextLimits,
    windows: Sequence[Window],
    *,
    states_out: str | None,
    states_in: str | None,
    known: int,
) -> list[WindowScore]:
    """Score windows, those of like length in one pass. See `protocol.Engine.score_windows`.

    `known`: ids below it are tokens of the model's tokenizer.
    """
    import torch

    if states_out is not None and head.trunk is None:
        raise EngineError(
            f"divergence needs the model's final hidden states, but {head.why_not}; set divergence: false"
        )
    stored = None if states_in is None else _stored(states_in, windows, input_device(model))
    with torch.no_grad():
        kept = _states(model, head, budget, limits, windows)
        if states_out is not None:
            save_lm_head(head, Path(states_out).parent, known=known)
            save_array(Path(states_out), to_numpy(half(torch.cat(kept))))
        if stored is not None and states_in is not None and kept:
            check_vocabularies(
                str(model.config._name_or_path), Path(states_in).parent,
                base=stored[0].width, own=_width(head, kept[0]), known=known, windows=windows,
            )  # fmt: skip
        scores, row, memory = [], 0, Exponentials()
        blocks = Blocks(kept_bytes=budget.exponential_bytes)
        for window, own in zip(windows, kept, strict=True):
            projection: Projection = head if head.trunk is not None else Given(width=own.shape[-1])
            base = None if stored is None else (stored[0], stored[1][row : row + len(own)])
            scores.append(_score(own, projection, window.tokens[window.scored_from :], base, blocks, memory))
            row += len(own)
    return scores


def _width(head: LmHead, own: Any) -> int:
    """Tokens of the output layer; without a trunk, what was kept are logits already."""
    return head.width if head.trunk is not None else int(own.shape[-1])


def _states(
    model: Any, head: LmHead, budget: MemoryBudget, limits: ContextLimits, windows: Sequence[Window]
) -> list[Any]:
    """Hidden states (logits where there is no shortcut) at the scored positions of every window."""
    import torch

    found: dict[int, Any] = {}
    for part in _passes(budget, limits, [len(window.tokens) for window in windows]):
        rows = [torch.tensor(windows[index].tokens[:-1]) for index in part]
        inputs: dict[str, Any] = {"input_ids": torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)}
        if len(rows[-1]) < len(rows[0]):
            ones = [torch.ones_like(row) for row in rows]
            inputs["attention_mask"] = torch.nn.utils.rnn.pad_sequence(ones, batch_first=True)
        inputs = {name: value.to(input_device(model)) for name, value in inputs.items()}
        limits.fresh()
        output = model(use_cache=False, **inputs).logits if head.trunk is None else head.hidden(**inputs)
        for number, (index, row) in enumerate(zip(part, rows, strict=True)):
            found[index] = output[number, windows[index].scored_from - 1 : len(row)]
    return [found[index] for index in range(len(windows))]


def _passes(budget: MemoryBudget, limits: ContextLimits, sizes: Sequence[int]) -> Iterator[list[int]]:
    """Indices of windows of so many tokens, longest first, in passes. A window's last token is only predicted."""
    order = sorted(range(len(sizes)), key=lambda index: -sizes[index])
    for _, group in groupby(order, key=lambda index: limits.rope_group(sizes[index] - 1)):
        alike, start = list(group), 0
        while start < len(alike):
            part = alike[start : start + budget.rows(sizes[alike[start]])]
            yield part
            start += len(part)


def _stored(states_in: str, windows: Sequence[Window], device: Any) -> tuple[StoredLmHead, Any]:
    """The baseline's output layer and its states for these windows, on `device`."""
    folder = str(Path(states_in).parent)
    states = from_numpy(read_states(states_in, windows)).to(device)
    if folder not in _HEADS:
        _HEADS.clear()
        _HEADS[folder] = StoredLmHead.read(Path(folder), device)
    return _HEADS[folder], states


def _score(
    own: Any,
    projection: Projection,
    tokens: Sequence[int],
    base: tuple[StoredLmHead, Any] | None,
    blocks: Blocks,
    memory: Exponentials,
) -> WindowScore:
    """Log-probabilities, and against the baseline what `WindowScore` has of a divergence."""
    import torch

    if base is None:
        return WindowScore(log_probs=tuple(log_probs(own, list(enumerate(tokens)), projection)[0]))
    wanted = torch.tensor(tokens, device=own.device)
    found = divergence(own, projection, base[1], base[0], wanted, blocks, memory)
    return WindowScore(
        log_probs=tuple(found.log_q.tolist()),
        kl=tuple(found.kl.tolist()),
        top1_agree=tuple(found.agree.tolist()),
        delta_p=tuple(found.delta_p.tolist()),
        ear=tuple(found.ear.tolist()),
        baseline_top=tuple(found.base_top.tolist()),
        top=tuple(found.top.tolist()),
    )
