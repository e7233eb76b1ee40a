"""The next variant's worker loads while this one's works, where memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import psutil

from harness.engines.protocol import Facts
from harness.engines.registry import ENGINES
from harness.runner.session import Session
from harness.runner.variants import RunVariant

SPARE_BYTES = 8 * 2**30
"""What stays free beside both models, so that the limits of a pass are those of a model that is alone."""
COPIES = 2
"""Times its files' size that loading a model takes at most: what is quantized while loading is there twice."""


class Preload:
    """Sessions by variant; at most one of them is loading for later.

    `order`: the variants as they will run. `start`: a new session. `wanted`: whether a variant has anything to do.
    `free`: bytes of memory that are free now.
    """

    def __init__(
        self,
        order: Sequence[RunVariant],
        start: Callable[[RunVariant], Session],
        wanted: Callable[[RunVariant], bool],
        free: Callable[[], int] = lambda: psutil.virtual_memory().available,
    ) -> None:
        self._next = {one.name: other for one, other in pairwise(order)}
        self._start, self._wanted, self._free = start, wanted, free
        self._loading: dict[str, Session] = {}

    def session(self, variant: RunVariant) -> Session:
        """The variant's session, loading already or new. The caller closes it."""
        return self._loading.pop(variant.name, None) or self._start(variant)

    def begin(self, after: RunVariant, *, beside: bool = False) -> bool:
        """Begin to load what runs after this variant, if there is anything for it to do and room for it.

        `beside`: it shares the cores with a model that loads at the same time. Returns whether a load was begun.
        """
        following = self._next.get(after.name)
        if following is None or following.name in self._loading or not self._wanted(following):
            return False
        if not fits_beside(following, self._free()):
            return False
        self._loading[following.name] = self._start(following)
        self._loading[following.name].begin(beside=beside)
        return True

    def facts(self, session: Session, *, spins: bool) -> Facts:
        """What was loaded. Scoring with threads that spin loses more to a load beside it than the load takes, so that
        where they will, the next variant loads beside this one, each on half of the cores, and both are waited for."""
        if spins and not session.started:
            session.begin(beside=self.begin(after=session.variant, beside=True))
            self.settle()
        return session.facts()

    def settle(self) -> None:
        """Wait until nothing loads any more: loading disturbs timings."""
        for session in self._loading.values():
            session.settle()

    def close(self) -> None:
        for session in self._loading.values():
            session.close()


def fits_beside(variant: RunVariant, free: int) -> bool:
    """Whether free memory, in bytes, holds the variant beside the one at work. Never on an accelerator: its memory is
    the scarce one, and what is free of it is not known here."""
    load = variant.load
    if not ENGINES[load.engine].preload or load.is_hub or load.device.partition(":")[0] != "cpu":
        return False
    return free >= COPIES * _bytes(variant) + SPARE_BYTES


def _bytes(variant: RunVariant) -> int:
    """Of the files that are opened, an adapter's base's included."""
    if variant.checkpoint is not None:
        return variant.checkpoint.disk_bytes or 0
    place = Path(variant.load.path)
    files = [place] if place.is_file() else [each for each in place.glob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)
