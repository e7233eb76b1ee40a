"""The remaining time of a run: the remaining work, at the pace so far. `progress.py` formats it.

Nothing is taken from other runs, and loading is not counted. Work is in tokens, so items of any length count for what
they cost; timed pairs have their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ITEMS = "items"
PAIRS = "pairs"
"""Unit of what is timed. Its pace says nothing about items, nor theirs about it."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Items, and the work in them. Items differ in length, so only the work says how much time is left."""

    items: int
    work: float
    """Tokens, or whatever takes time in proportion."""


@dataclass(frozen=True, kw_only=True)
class WorkItem:
    """One variant's work on one task, or its timing."""

    variant: str
    task: str
    unit: str
    work: float


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """Seconds; None where there is no estimate yet."""

    task_s: float | None = None
    """Of what goes on now."""
    run_s: float | None = None
    """Of the whole run; None too where nothing comes after what goes on now."""
    untold: bool = False
    """Timings are still to come that `run_s` leaves out, because none was made yet."""


@dataclass(kw_only=True)
class _Done:
    seconds: float = 0.0
    work: float = 0.0


class Eta:
    """Tracks what begins, progresses and ends, and estimates what is left. `now`: a clock, in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._ahead: list[WorkItem] = []
        self._done: dict[tuple[str, str, str], _Done] = {}
        self._part: WorkItem | None = None
        self._remaining = 0.0
        self._last = 0.0

    def expect(self, parts: Sequence[WorkItem]) -> None:
        """The run's work items, in its order by variant."""
        self._ahead = list(parts)

    def begin(self, variant: str, task: str, total: Amount, done: Amount, unit: str) -> None:
        """A part begins, `done` of which was there before. What variants before this one had left is not done any
        more: they were stopped or gave up."""
        names = [part.variant for part in self._ahead]
        if variant in names:
            self._ahead = self._ahead[names.index(variant) :]
        self._part = WorkItem(variant=variant, task=task, unit=unit, work=total.work)
        known = (part for part in self._ahead if (part.variant, part.task, part.unit) == (variant, task, unit))
        if (expected := next(known, None)) is not None:
            self._ahead.remove(expected)
        self._remaining = total.work - done.work
        self._last = self._now()

    def advance(self, work: float) -> None:
        """Some of the part that goes on is done."""
        if self._part is not None:
            now, done = self._now(), self._done.setdefault(_key(self._part), _Done())
            done.seconds += now - self._last
            done.work += work
            self._remaining -= work
            self._last = now

    def finish(self) -> None:
        """The part that went on is done."""
        self._part = None

    def left(self) -> Remaining:
        """As of now. Between two advances the time runs down."""
        if self._part is None:
            return Remaining()
        own = self._pace(self._part)
        if own is None:
            return Remaining()
        task_s = max(0.0, own * self._remaining - (self._now() - self._last))
        paces = [(part, self._pace(part)) for part in self._ahead]
        told = [pace * part.work for part, pace in paces if pace is not None]
        if not told:
            return Remaining(task_s=task_s)
        return Remaining(task_s=task_s, run_s=task_s + sum(told), untold=any(pace is None for _, pace in paces))

    def _pace(self, part: WorkItem) -> float | None:
        """Seconds a unit of work: the variant's own in this task; else another's, as much slower or faster as it was in
        the tasks that both were asked; else, for items, that of all its tasks, or of all tasks of all variants."""
        own = self._done.get(_key(part))
        if own is not None and own.work > 0:
            return own.seconds / own.work
        for (variant, task, unit), done in reversed(self._done.items()):
            if (task, unit) == (part.task, part.unit) and done.work > 0:
                return done.seconds / done.work * self._ratio(part.variant, variant)
        if part.unit == PAIRS:
            return None
        items = {key: done for key, done in self._done.items() if key[2] != PAIRS}
        of_variant = [done for key, done in items.items() if key[0] == part.variant]
        return _over(of_variant) or _over(list(items.values()))

    def _ratio(self, variant: str, other: str) -> float:
        """How many times as long the first takes as the second for the same items; 1 where unknown."""
        mine = theirs = 0.0
        for (name, task, unit), done in self._done.items():
            beside = self._done.get((other, task, unit))
            if name == variant and unit != PAIRS and beside is not None and beside.work > 0:
                mine += done.seconds
                theirs += done.work * beside.seconds / beside.work
        return mine / theirs if mine > 0 and theirs > 0 else 1.0


def _key(part: WorkItem) -> tuple[str, str, str]:
    return part.variant, part.task, part.unit


def _over(parts: Sequence[_Done]) -> float | None:
    """The common pace of several parts."""
    work = sum(done.work for done in parts)
    return sum(done.seconds for done in parts) / work if work > 0 else None
