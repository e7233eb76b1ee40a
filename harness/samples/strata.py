"""Several paired samples with a weight each: tasks whose mean drop is judged once, or a slice against the rest.

Owns the shapes and which items two of them share; computes no bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.records.arrow import Texts
from harness.records.columns import Floats, Indices
from harness.samples.pairs import PairedMetric

REST = "the rest"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The pairs of a task by name."""

    items: Texts
    """Of the whole plan."""
    places: Indices
    """Place in the plan of each pair, [n]."""

    def shared(self, other: Asked) -> tuple[Indices, Indices]:
        """The pairs of the same items in both, in the same order: places among our pairs, and among the other's."""
        ours = np.full(len(self.items), -1, dtype=np.int64)
        ours[self.places] = np.arange(self.places.size)
        in_plan = self.items.places_of(other.items)[other.places]
        found = np.where(in_plan >= 0, ours[in_plan], -1)
        both = np.flatnonzero(found >= 0)
        return found[both], both


@dataclass(frozen=True, kw_only=True)
class StrataPairs:
    """One metric over several samples. Their weighted drops are summed."""

    metric: str
    names: tuple[str, ...]
    """Of tasks, or a slice and the rest."""
    parts: tuple[PairedMetric, ...]
    weights: tuple[float, ...]
    """Positive and 1 together for a mean over tasks; 1 and -1 for a slice against the rest."""
    correlations: Floats
    """Between the drops of two parts that share items, [parts, parts]; 0 where they share none."""

    @property
    def count(self) -> int:
        """Pairs of all parts."""
        return sum(part.count for part in self.parts)

    @property
    def failed(self) -> int:
        """Items on which the candidate failed."""
        return sum(part.failed for part in self.parts)


def mean_over_tasks(parts: Sequence[PairedMetric], weights: Sequence[float], asked: Mapping[str, Asked]) -> StrataPairs:
    """The mean over tasks with these weights, whatever they add up to."""
    from harness.stats.mover import shared_correlation

    correlations = np.eye(len(parts))
    for left, one in enumerate(parts):
        for right, other in enumerate(parts[:left]):
            ours, theirs = asked[one.task].shared(asked[other.task])
            found = shared_correlation(one.drops[ours], other.drops[theirs], (one.count, other.count))
            correlations[left, right] = correlations[right, left] = found
    whole = sum(weights)
    return StrataPairs(
        metric=parts[0].metric,
        names=tuple(part.task for part in parts),
        parts=tuple(parts),
        weights=tuple(weight / whole for weight in weights),
        correlations=correlations,
    )


def slice_against_rest(metric: PairedMetric, name: str) -> StrataPairs:
    """One slice of a task, and all items that are not in it."""
    inside = metric.slices[name]
    rest = np.setdiff1d(np.arange(metric.count), inside)
    return StrataPairs(
        metric=metric.metric,
        names=(name, REST),
        parts=(metric.only(name), metric.taken(rest)),
        weights=(1.0, -1.0),
        correlations=np.eye(2),
    )
