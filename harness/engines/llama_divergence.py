"""Divergence from the baseline's stored states, with numpy alone. The file layout is that of `hf_roll`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.engines.seam import WindowScore
from harness.errors import EngineError

POSITIONS = 64
"""Positions whose logits over the whole vocabulary are held at once."""


def log_softmax(logits: Any) -> Any:
    """Natural-log probabilities over the last axis; sums in float64."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True, dtype=np.float64)).astype(np.float32)


def widened(array: Any) -> Any:
    """float32 of what `hf_head.save_array` wrote; uint16 holds the bits of bfloat16."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The baseline's final states of some windows and its output layer."""

    states: Any
    """[positions, d_model]"""
    weight: Any
    """[vocabulary, d_model]"""
    bias: Any
    softcap: float | None
    multiply: float

    @classmethod
    def read(cls, states: str, vocabulary: int) -> Baseline:
        """Raises `EngineError` when they cannot be read or are of another vocabulary."""
        folder = Path(states).parent
        try:
            facts = json.loads((folder / "head.json").read_text())
            weight = widened(np.load(folder / "head.npy", mmap_mode="r"))
            bias = widened(np.load(folder / "head_bias.npy")) if facts["bias"] else None
            held = widened(np.load(states))
        except (OSError, ValueError, KeyError) as error:
            raise EngineError(f"{states}: cannot be read ({error}); run the baseline again with --fresh") from error
        if len(weight) != vocabulary:
            raise EngineError(
                f"the baseline's vocabulary has {len(weight)} entries, the variant's {vocabulary}: no divergence "
                "between them; set divergence: false"
            )
        return cls(states=held, weight=weight, bias=bias, softcap=facts["softcap"], multiply=facts["multiply"])

    @property
    def positions(self) -> int:
        return len(self.states)

    def compare(self, logits: Any, wanted: Sequence[int], row: int) -> WindowScore:
        """KL(baseline || variant) over the whole vocabulary, from position `row` of the states on."""
        log_probs: list[float] = []
        kl: list[float] = []
        agree: list[bool] = []
        delta: list[float] = []
        for start in range(0, len(wanted), POSITIONS):
            true = np.asarray(wanted[start : start + POSITIONS])
            log_q = log_softmax(logits[start : start + POSITIONS])
            base = self.states[row + start : row + start + len(true)] @ self.weight.T
            base = base if self.bias is None else base + self.bias
            base = base * self.multiply
            log_p = log_softmax(base if self.softcap is None else self.softcap * np.tanh(base / self.softcap))
            p, places = np.exp(log_p), np.arange(len(true))
            picked = log_q[places, true]
            log_probs.extend(picked.tolist())
            kl.extend(np.maximum((p * (log_p - log_q)).sum(-1, dtype=np.float64), 0.0).tolist())
            agree.extend((log_p.argmax(-1) == log_q.argmax(-1)).tolist())
            delta.extend((np.exp(picked) - p[places, true]).tolist())
        return WindowScore(log_probs=tuple(log_probs), kl=tuple(kl), top1_agree=tuple(agree), delta_p=tuple(delta))
