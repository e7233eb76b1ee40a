"""Imported items as ours: what is planned of them, what is recorded, and whether two sides were asked the same.

An item's fingerprint covers everything that both sides must have in common. Which part differs is said by name.
"""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from harness.imports.shape import ImportedItem, ImportedTask, NoValue, Selection, UnreadableError
from harness.records.items import (
    DocumentScore,
    Failed,
    ItemRecord,
    OptionAnswer,
    Outcome,
    PlannedItem,
    TextAnswer,
    outcome,
)

SHOWN = 20_000
"""Characters of a prompt that are stored for display."""
PARTS = ("prompt", "requests or their settings", "options", "target", "number of repeats")
"""What has to be the same for both sides."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """One item, once or several times."""

    items: tuple[ImportedItem, ...]

    @property
    def first(self) -> ImportedItem:
        return self.items[0]

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """What both sides must have in common, in the order of `PARTS`."""
        first = self.first
        options = json.dumps([option.text for option in first.options])
        return first.prompt, first.asked, options, first.target, str(len(self.items))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of that."""
        return hashlib.sha256(json.dumps(self.parts).encode()).hexdigest()


class NotTheSameError(Exception):
    """Two sides that were not asked the same; the message says where and what."""


def groups(task: ImportedTask, selection: Selection) -> Iterator[Group]:
    """A task's items, the repeats of each together. Raises `UnreadableError` for two results of the same repeat and
    for another number of items than the files say."""
    count = 0
    for _, found in groupby(task.items(selection), key=lambda item: item.id):
        group = Group(items=tuple(found))
        count += 1
        seen: dict[int, str] = {}
        for item in group.items:
            if item.repeat in seen:
                raise UnreadableError(item.place, f"item {item.id!r} of {task.name} is at {seen[item.repeat]} already")
            seen[item.repeat] = item.place
            if lacking := [metric.name for metric in task.metrics if metric.name not in item.values]:
                raise UnreadableError(item.place, f"item {item.id!r} of {task.name} has no {', '.join(lacking)}")
        yield group
    if not count:
        raise UnreadableError(task.source, f"{task.name} has no items")
    if task.count is not None and task.count != count:
        says = f"holds {count:,} items of {task.name}, and its results say {task.count:,}"
        raise UnreadableError(task.source, f"{says}: it is not whole; copy it again or evaluate again")


def planned(group: Group, index: int) -> PlannedItem:
    """The item as stored for every variant."""
    first = group.first
    return PlannedItem(
        item=first.id,
        index=index,
        prompt_hash=group.fingerprint,
        prompt=first.prompt[-SHOWN:],
        options=tuple(option.text for option in first.options),
        expected=first.target,
        slices=dict(first.slices),
        cluster=first.cluster,
        bytes=first.bytes,
    )


def recorded(group: Group, task: ImportedTask) -> ItemRecord:
    """One side's result on the item."""
    first, metrics = group.first, [metric.name for metric in task.metrics]
    scored = metrics[0] if task.value_per_repeat and len(group.items) > 1 and metrics else None
    answers = tuple(_answer(item, scored) for item in group.items if item.answer is not None)
    return ItemRecord(
        item=first.id,
        prompt_hash=group.fingerprint,
        options=tuple(
            OptionAnswer(log_likelihood=each.log_likelihood, tokens=each.tokens, greedy=each.greedy)
            for each in first.options
        ),
        answer=answers[0] if answers else None,
        repeats=answers[1:],
        document=None
        if first.document is None
        else DocumentScore(nll=first.document.nll, tokens=first.document.tokens or 0),
        metrics={metric: _outcome(group, metric) for metric in metrics},
    )


def _answer(item: ImportedItem, scored: str | None) -> TextAnswer:
    """An answer, with its own score by the task's first metric where there are several to the item."""
    assert item.answer is not None
    value = None if scored is None else item.values[scored]
    score = value if isinstance(value, float) and math.isfinite(value) else None
    return TextAnswer(text=item.answer.text, tokens=item.answer.tokens, finish=item.answer.finish, score=score)


def _outcome(group: Group, metric: str) -> Outcome:
    """The mean over repeats; a failure where one of them failed."""
    total = 0.0
    for item in group.items:
        value = item.values[metric]
        if isinstance(value, NoValue):
            which = f"repeat {item.repeat}: " if len(group.items) > 1 else ""
            return Failed(stage="score", error=f"{which}{value.reason}")
        total += value
    return outcome(total / len(group.items))


@dataclass(frozen=True, kw_only=True)
class PlanIndex:
    """What the baseline was asked: a few numbers an item, so that a million of them fit."""

    ids: array[int]
    """A number for each item's id, sorted."""
    places: array[int]
    """Place in the plan of each of `ids`."""
    parts: tuple[array[int], ...]
    """A number for each part of the item, by its place in the plan; in the order of `PARTS`."""

    @property
    def repeated(self) -> int | None:
        """Place of an item whose id the plan has twice; None where there is none."""
        pairs = zip(self.ids, self.ids[1:], self.places[1:], strict=False)
        return next((place for one, other, place in pairs if one == other), None)

    def place(self, item: str) -> int | None:
        """Place of an item in the plan; None for one that the baseline was not asked."""
        number = _number(item)
        found = bisect_left(self.ids, number)
        return self.places[found] if found < len(self.ids) and self.ids[found] == number else None

    def differing(self, place: int, group: Group) -> list[str]:
        """The names of the parts that differ."""
        pairs = zip(PARTS, self.parts, group.parts, strict=True)
        return [name for name, known, part in pairs if known[place] != _number(part)]


class Indexing:
    """Builds the index while the plan is written."""

    def __init__(self) -> None:
        self._ids = array("Q")
        self._parts = tuple(array("Q") for _ in PARTS)

    def add(self, group: Group) -> None:
        self._ids.append(_number(group.first.id))
        for known, part in zip(self._parts, group.parts, strict=True):
            known.append(_number(part))

    def finished(self) -> PlanIndex:
        order = sorted(range(len(self._ids)), key=self._ids.__getitem__)
        ids = array("Q", (self._ids[place] for place in order))
        return PlanIndex(ids=ids, places=array("q", order), parts=self._parts)


def _number(text: str) -> int:
    """64 bits of BLAKE2b: among a million items two collide once in tens of millions of imports."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
