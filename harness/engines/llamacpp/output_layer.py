"""Final hidden states and the LM head that turns them into logits, stored as the transformers engine stores its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.checkpoints.gguf_header import Header
from harness.engines.hidden_states import bfloat16_bits, read_lm_head_files
from harness.engines.llamacpp.c_model import Logits, Model
from harness.errors import EngineError

AGREES = 1e-2
"""Largest difference of logits, in their standard deviations, at which an output layer counts as the model's own."""
TRIAL = tuple(range(1, 17))
DTYPES: Mapping[str, type[np.generic]] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}


@dataclass(frozen=True, kw_only=True)
class StoredLmHead:
    """An output layer as the transformers engine stores its own."""

    weight: NDArray[Any]
    """[vocabulary, d_model]; 16 or 32 float bits, bfloat16 as its bits in uint16."""
    bias: NDArray[np.float32] | None
    softcap: float | None
    multiply: float

    @property
    def vocabulary(self) -> int:
        return len(self.weight)

    @classmethod
    def read(cls, folder: Path) -> StoredLmHead:
        weight, bias, softcap, multiply = read_lm_head_files(folder)
        return cls(weight=wide(weight), bias=None if bias is None else wide(bias), softcap=softcap, multiply=multiply)

    def logits(self, states: NDArray[Any]) -> Logits:
        """Logits of stored states, [positions, vocabulary]."""
        found: Logits = wide(states) @ wide(self.weight).T
        if self.bias is not None:
            found += self.bias
        if self.multiply != 1.0:
            found *= np.float32(self.multiply)
        if self.softcap is not None:
            found = np.float32(self.softcap) * np.tanh(found / np.float32(self.softcap))
        return found


def wide(array: NDArray[Any]) -> NDArray[np.float32]:
    """float32; uint16 holds the bits of bfloat16."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


def output_lm_head(model: Model, headers: Sequence[Header]) -> StoredLmHead:
    """The model's output layer, checked against its own logits. Raises `EngineError` where they cannot be
    reproduced."""
    none = f"{model.path}: keeps no states to measure divergence from"
    weight = _tensor(headers, "output.weight", "token_embd.weight")
    if weight is None:
        raise EngineError(f"{none}: its output layer is quantized; use a full-precision file, or set divergence: false")
    first = headers[0]
    name = first.text("general.architecture")
    softcap, scale = (first.metadata.get(f"{name}.{key}") for key in ("final_logit_softcapping", "logit_scale"))
    plain = StoredLmHead(
        weight=weight,
        bias=_tensor(headers, "output.bias"),
        softcap=softcap if isinstance(softcap, float) and softcap > 0 else None,
        multiply=1.0,
    )
    scales = [scale, 1 / scale] if isinstance(scale, float) and scale > 0 else []  # some families divide by it
    [(_, logits)] = model.sequence(TRIAL, 0, states=True)
    states = model.states(len(TRIAL))
    errors = []
    for head in (plain, *(replace(plain, multiply=each) for each in scales)):
        errors.append(float(np.abs(head.logits(states) - logits).max() / logits.std()))
        if errors[-1] <= AGREES:
            return head
    raise EngineError(
        f"{none}: states and output layer give logits {min(errors):.2g} standard deviations from its own; set "
        "divergence: false"
    )


def _tensor(headers: Sequence[Header], *names: str) -> NDArray[Any] | None:
    """The first of these tensors that there is, row by row; None for a quantized one, or where there is none."""
    held = {tensor.name: (header.path, tensor) for header in headers for tensor in header.tensors}
    path, tensor = next((held[name] for name in names if name in held), (None, None))
    if path is None or tensor is None or tensor.type not in DTYPES:
        return None
    flat = np.fromfile(path, DTYPES[tensor.type], tensor.elements, offset=tensor.offset)
    return flat.reshape(tensor.shape[::-1])


def half(states: NDArray[np.float32]) -> NDArray[Any]:
    """float16 where every value fits, the bits of bfloat16 otherwise."""
    with np.errstate(over="ignore"):
        small = states.astype(np.float16)
    if np.isfinite(small).all():
        return small
    bits: NDArray[np.uint16] = bfloat16_bits(states)
    return bits
