"""Strict pairing, once: the baseline's and the candidate's items of one task side by side.

A missing partner, a duplicate, a different prompt or a count that differs from the plan is a `PairingError`
here; nothing downstream looks again. Owns arrays in memory, writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.records.models import Failed, ItemRecord, PlannedItem

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class PairingError(Exception):
    """Two evaluations that cannot be compared item by item; the message says at which item and why."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One item with both variants' records."""

    plan: PlannedItem
    baseline: ItemRecord
    candidate: ItemRecord


@dataclass(frozen=True, kw_only=True)
class PairedMetric:
    """A per-item metric over all pairs. `baseline`, `candidate`: [n]; `clusters`: [n] labels or None."""

    task: str
    metric: str
    kind: Literal["binary", "graded"]
    higher_is_better: bool
    items: tuple[str, ...]
    baseline: Floats
    candidate: Floats
    clusters: NDArray[np.int64] | None
    slices: Mapping[str, Mask]
    """`field=value` to the pairs in it."""
    failed: int
    """Items on which the candidate failed; they stand in `candidate` with the worst value."""
    baseline_failed: tuple[str, ...]
    """Items on which the baseline failed: the comparison is INVALID when there is one."""

    @property
    def drops(self) -> Floats:
        """Harm per item, [n]: positive where the candidate is worse."""
        difference = self.baseline - self.candidate
        return difference if self.higher_is_better else -difference

    def only(self, slice_name: str) -> PairedMetric:
        """The same metric over one slice."""
        mask = self.slices[slice_name]
        return PairedMetric(
            task=self.task,
            metric=self.metric,
            kind=self.kind,
            higher_is_better=self.higher_is_better,
            items=tuple(item for item, keep in zip(self.items, mask, strict=True) if keep),
            baseline=self.baseline[mask],
            candidate=self.candidate[mask],
            clusters=None if self.clusters is None else self.clusters[mask],
            slices={},
            failed=0,
            baseline_failed=self.baseline_failed,
        )


def pair_items(
    task: str,
    plan: Sequence[PlannedItem],
    baseline: Sequence[ItemRecord],
    candidate: Sequence[ItemRecord],
    *,
    names: tuple[str, str],
) -> tuple[Pair, ...]:
    """Pairs in plan order. Raises `PairingError`; `names` are the two variants', for its message."""
    by_side = []
    for name, records in zip(names, (baseline, candidate), strict=True):
        index = {record.item: record for record in records}
        if len(index) != len(records):
            seen: set[str] = set()
            twice = next(r.item for r in records if r.item in seen or seen.add(r.item))  # type: ignore[func-returns-value]
            raise PairingError(f"{task}: {name} has item {twice!r} twice")
        if len(records) != len(plan):
            raise PairingError(f"{task}: {name} has {len(records)} items, the plan has {len(plan)}")
        by_side.append(index)
    pairs = []
    for planned in plan:
        for name, index in zip(names, by_side, strict=True):
            record = index.get(planned.item)
            if record is None:
                raise PairingError(f"{task}: {name} has no answer for planned item {planned.item!r}")
            if record.prompt_hash != planned.prompt_hash:
                raise PairingError(f"{task}: {name} was given another prompt for item {planned.item!r}")
        pairs.append(Pair(plan=planned, baseline=by_side[0][planned.item], candidate=by_side[1][planned.item]))
    return tuple(pairs)


def asked(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs that could be asked: without the items too long for the model's context."""
    return tuple(pair for pair in pairs if pair.plan.too_long is None)


def slice_masks(pairs: Sequence[Pair]) -> dict[str, Mask]:
    """`field=value` to a mask over the pairs, in order of first appearance."""
    masks: dict[str, Mask] = {}
    for position, pair in enumerate(pairs):
        for field, value in pair.plan.slices.items():
            mask = masks.setdefault(f"{field}={value}", np.zeros(len(pairs), dtype=np.bool_))
            mask[position] = True
    return masks


def cluster_labels(pairs: Sequence[Pair]) -> NDArray[np.int64] | None:
    """Whole-number cluster labels, [n]; None when the task names no cluster."""
    if not any(pair.plan.cluster is not None for pair in pairs):
        return None
    numbers: dict[str, int] = {}
    labels = [
        numbers.setdefault(pair.plan.cluster if pair.plan.cluster is not None else f"\0{i}", len(numbers))
        for i, pair in enumerate(pairs)
    ]
    return np.asarray(labels, dtype=np.int64)


def paired_metric(task: str, metric: str, pairs: Sequence[Pair], *, higher_is_better: bool) -> PairedMetric:
    """One metric over the pairs. A candidate's failure takes the worst value seen on the task (0 for fractions)."""
    baseline, baseline_failed = _values(metric, [pair.baseline for pair in pairs])
    candidate, candidate_failed = _values(metric, [pair.candidate for pair in pairs])
    seen = np.concatenate([baseline, candidate])
    finite = seen[np.isfinite(seen)]
    binary = bool(np.isin(finite, (0.0, 1.0)).all())
    if finite.size == 0:
        worst = 0.0
    elif higher_is_better:
        worst = min(0.0, float(finite.min()))
    else:
        worst = max(1.0, float(finite.max()))
    return PairedMetric(
        task=task,
        metric=metric,
        kind="binary" if binary else "graded",
        higher_is_better=higher_is_better,
        items=tuple(pair.plan.item for pair in pairs),
        baseline=np.where(np.isfinite(baseline), baseline, worst),
        candidate=np.where(np.isfinite(candidate), candidate, worst),
        clusters=cluster_labels(pairs),
        slices=slice_masks(pairs),
        failed=len(candidate_failed),
        baseline_failed=baseline_failed,
    )


def _values(metric: str, records: Sequence[ItemRecord]) -> tuple[Floats, tuple[str, ...]]:
    """Per-item values with NaN where the harness has none, and the items that failed."""
    values = np.full(len(records), np.nan)
    failed = []
    for position, record in enumerate(records):
        outcome = record.metrics.get(metric)
        if outcome is None:
            raise PairingError(f"item {record.item!r} has no metric {metric!r}")
        if isinstance(outcome, Failed):
            failed.append(record.item)
        else:
            values[position] = outcome.value
    return values, tuple(failed)
