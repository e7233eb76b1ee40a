"""Key-value states of beginnings that many requests share, computed once and put before every row of a batch."""

from __future__ import annotations

import copy
from typing import Any

from harness.engines.hf_load import input_device

KEPT = 3
"""Beginnings whose states are held at a time, the latest used. Requests come sorted by their beginning."""


class Heads:
    """The states of the last few beginnings of one model."""

    def __init__(self, model: Any, trunk: Any) -> None:
        self._model, self._trunk = model, trunk
        self._known: dict[tuple[int, ...], Any] = {}

    def before(self, head: tuple[int, ...], stem: int, rows: int) -> Any:
        """A cache with the states of `head` in front of `rows` rows, ready to be extended.

        `stem`: leading tokens of `head` to compute apart, since other heads have them too.
        """
        return _spread(self._states(head, stem), rows)

    def _states(self, head: tuple[int, ...], stem: int = 0) -> Any:
        """Always computed in the same pieces, whatever is held: rounding does not depend on what came before."""
        import torch

        found = self._known.pop(head, None)
        if found is None:
            before = {"past_key_values": _spread(self._states(head[:stem]), 1)} if stem else {}
            ids = torch.tensor([head[stem:]], device=input_device(self._model))
            found = self._trunk(input_ids=ids, use_cache=True, **before).past_key_values
            while len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
        self._known[head] = found
        return found


def _spread(known: Any, rows: int) -> Any:
    """The same states seen by every row, without a copy; extending the result leaves `known` as it is."""
    cache = copy.copy(known)
    cache.layers = [copy.copy(layer) for layer in known.layers]
    for layer in cache.layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    return cache
