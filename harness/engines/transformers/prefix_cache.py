"""Key-value states of prefixes that many requests share, computed once and put before every row of a batch."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from harness.engines.transformers.attention import put_before
from harness.engines.transformers.loading import input_device

KEPT = 3
"""Prefixes whose states are held at a time at most, the latest used. Requests come sorted by their prefix."""


class PrefixCache:
    """The states of the last few prefixes of one model, `most` tokens together where more than one is held."""

    def __init__(self, model: Any, trunk: Any, most: int) -> None:
        self._model, self._trunk, self._most = model, trunk, most
        self._known: dict[tuple[int, ...], Any] = {}

    def before(
        self, head: tuple[int, ...], root_prefix: int, rows: int, *, extended: bool = False, apart: bool = False
    ) -> Any:
        """A cache with the states of `head` in front of `rows` rows.

        `root_prefix`: leading tokens of `head` to compute apart, since other prefixes have them too. A layer has the
        prefix and the rows' own tokens together only while it is computed. `extended`: it keeps the own ones, as `own`.
        `apart`: it never has them together, and `attention_apart` gets the prefix.
        """
        found = _spread(self._states(head, root_prefix), rows)
        for layer in found.layers:
            kind: Any = type(layer)
            layer.__class__ = _apart(kind) if apart else _forgetful(kind, extended)
        return found

    def forget(self) -> None:
        """Hold nothing."""
        self._known.clear()

    def _states(self, head: tuple[int, ...], root_prefix: int = 0) -> Any:
        """Always computed in the same pieces, whatever is held: rounding does not depend on what came before."""
        import torch

        found = self._known.pop(head, None)
        if found is None:
            before = {"past_key_values": _spread(self._states(head[:root_prefix]), 1)} if root_prefix else {}
            self._free_for(len(head), head[:root_prefix])
            ids = torch.tensor([head[root_prefix:]], device=input_device(self._model))
            found = self._trunk(input_ids=ids, use_cache=True, **before).past_key_values
        self._known[head] = found
        return found

    def _free_for(self, tokens: int, root_prefix: tuple[int, ...]) -> None:
        """Let go of the longest unused, but for the root prefix that is just needed."""
        for old in [each for each in self._known if each != root_prefix]:
            if len(self._known) < KEPT and tokens + sum(map(len, self._known)) <= self._most:
                return
            del self._known[old]


@cache
def _forgetful(kind: type, extended: bool) -> type:
    """A cache layer that puts its states in front of new ones and keeps the new ones at most: `PrefixCache.before`."""

    class Forgetful(kind):  # type: ignore[misc]  # the layer's class is known only now
        keys: Any
        values: Any
        own: Any

        def update(self, key_states: Any, value_states: Any, *args: Any, **keywords: Any) -> Any:
            held = self.keys, self.values
            found = super().update(key_states, value_states, *args, **keywords)
            self.keys, self.values = held
            if extended:
                self.own = key_states, value_states
            return found

    return Forgetful


@cache
def _apart(kind: type) -> type:
    """A cache layer that leaves its states where they are and passes new ones on with a note of them."""

    class Apart(kind):  # type: ignore[misc]  # the layer's class is known only now
        keys: Any
        values: Any

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> Any:
            return put_before(key_states, (self.keys[:1], self.values[:1])), value_states

    return Apart


def _spread(known: Any, rows: int) -> Any:
    """The same states seen by every row, without a copy; extending the result leaves `known` as it is."""
    cache = copy.copy(known)
    cache.layers = [copy.copy(layer) for layer in known.layers]
    for layer in cache.layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    return cache
