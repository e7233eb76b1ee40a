"""A key-value cache with room for the tokens to come, so that a step writes one column instead of copying them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer


class KvCache(DynamicLayer):
    """Keys and values of one layer, [rows, heads, columns, width]: `filled` columns in use."""

    def __init__(self, like: torch.Tensor, rows: int, columns: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # transformers leaves it without types
        self.dtype, self.device = like.dtype, like.device
        shape = (rows, like.shape[1], columns, like.shape[-1])
        self._keys = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self._values = torch.zeros_like(self._keys)
        self.filled = 0
        self.is_initialized = True

    def put(self, rows: slice, column: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Write states of some rows from `column` on."""
        self._keys[rows, :, column : column + keys.shape[-2]] = keys
        self._values[rows, :, column : column + keys.shape[-2]] = values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append, and return everything so far: views, not copies."""
        self.put(slice(None), self.filled, key_states, value_states)
        self.filled += key_states.shape[-2]
        return self._keys[:, :, : self.filled], self._values[:, :, : self.filled]

    def get_seq_length(self) -> int:
        return self.filled

    def keep(self, rows: torch.Tensor) -> None:
        """Only these rows, in this order."""
        self._keys = self._keys[rows.to(self.device)]
        self._values = self._values[rows.to(self.device)]


def joined(parts: Sequence[Any], head: int, longest: int, spare: int) -> Cache:
    """One cache of several prefilled ones, one under the other, with `spare` columns more.

    Each part has `head` columns that all rows share and, where there are any, its own apart as `own`, padded on the
    left; the result is padded on the left to `longest` own columns. The parts' states are let go layer by layer, so
    that they are never there twice.
    Raises `ValueError` for a cache that is not made of one column per token.
    """
    rows = sum(part.layers[0].keys.shape[0] for part in parts)
    buffers: list[Any] = []
    for number, first in enumerate(parts[0].layers):
        if getattr(first, "keys", None) is None or first.keys.dim() != 4:
            raise ValueError(f"layer {number} keeps {type(first).__name__}, not keys and values")
        buffer, at = KvCache(first.keys, rows, head + longest + spare), 0
        for part in parts:
            layer = part.layers[number]
            keys, values = layer.own if head else (layer.keys, layer.values)
            place = slice(at, at + keys.shape[0])
            if head:
                buffer.put(place, 0, layer.keys, layer.values)
            buffer.put(place, head + longest - keys.shape[-2], keys, values)
            at += keys.shape[0]
            layer.keys = layer.values = layer.own = None
        buffer.filled = head + longest
        buffers.append(buffer)
    return Cache(layers=buffers)
