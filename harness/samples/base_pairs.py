"""Base, fine-tuned model (the baseline) and candidate on the same items: what was gained, and how much of it is
retained.

Takes pairs that are already strict; owns arrays in memory, judges nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness.metrics.row import Likelihood
from harness.metrics.table import computed_by, likelihood
from harness.records.columns import Answers, Floats, Indices
from harness.records.measures import Retained
from harness.samples.documents import per_unit
from harness.samples.pairs import PairedMetric, PairingError, Pairs, Side, slice_members
from harness.stats import RetainedShare, retained_documents, retained_items


@dataclass(frozen=True, kw_only=True)
class ThreeWay:
    """One metric of three models over n items in plan order.

    `perplexity`: `base`, `fine_tuned` and `candidate` are negative log-likelihoods in nats summed over a document,
    [documents], and `weights` what it counts: tokens, words, bytes, or bytes times ln 2 (bits per byte).
    """

    task: str
    metric: str
    kind: Literal["binary", "graded", "perplexity"]
    higher_is_better: bool
    base: Floats
    fine_tuned: Floats
    candidate: Floats
    weights: Floats | None = None
    clusters: Indices | None = None
    slices: Mapping[str, Indices]
    failed: tuple[str, ...] = ()
    """Items on which the base or the baseline failed; they are not in the arrays."""
    candidate_failed: tuple[str, ...] = ()
    """Documents to which the candidate gave no finite likelihood; they are not in the arrays either. A failed answer to
    an item is: it is in `candidate` with the worst value."""

    @property
    def count(self) -> int:
        return self.base.size

    def only(self, slice_name: str) -> ThreeWay:
        """The same metric over one slice."""
        inside = self.slices[slice_name]
        return replace(
            self,
            base=self.base[inside],
            fine_tuned=self.fine_tuned[inside],
            candidate=self.candidate[inside],
            weights=None if self.weights is None else self.weights[inside],
            clusters=None if self.clusters is None else self.clusters[inside],
            slices={},
        )


def task_three_ways(task: str, pairs: Pairs, base: Side, metrics: Sequence[PairedMetric]) -> tuple[ThreeWay, ...]:
    """The pairs of a task joined with the evaluation of the model before fine-tuning, item by item.

    `metrics`: the task's own, none for perplexity. Raises `PairingError` when that evaluation does not fit the plan.
    """
    if base.misfit is not None:
        raise PairingError(f"{task}: the base model {base.misfit.says}")
    answers = base.answers.taken(base.order[pairs.places])
    if not metrics:
        return document_three_ways(task, pairs, answers)
    return tuple(metric_three_way(metric, pairs, answers) for metric in metrics)


def metric_three_way(paired: PairedMetric, pairs: Pairs, base: Answers) -> ThreeWay:
    """A per-item metric. `base`: what the model before fine-tuning answered to the items of `pairs`, in their order."""
    if base.unmeasured[paired.metric].any():
        raise PairingError(f"{paired.task}: the base model's records have no metric {paired.metric!r}")
    values = base.metrics[paired.metric]
    usable = np.isfinite(values) & np.isfinite(pairs.baseline.metrics[paired.metric])
    binary = paired.kind == "binary" and paired.whole and bool(np.isin(values[usable], (0.0, 1.0)).all())
    return ThreeWay(
        task=paired.task,
        metric=paired.metric,
        kind="binary" if binary else "graded",
        higher_is_better=paired.higher_is_better,
        base=values[usable],
        fine_tuned=paired.baseline[usable],
        candidate=paired.candidate[usable],
        clusters=None if paired.clusters is None else paired.clusters[usable],
        slices=slice_members(pairs.plan, pairs.places[usable]),
        failed=tuple(pairs.name(pair) for pair in np.flatnonzero(~usable).tolist()),
    )


def document_three_ways(task: str, pairs: Pairs, base: Answers) -> tuple[ThreeWay, ...]:
    """Every metric of likelihoods whose weights are known. `base` as in `metric_three_way`."""
    found = np.asarray(
        [
            [math.nan if each is None or each.nll is None else each.nll for each in documents]
            for documents in (base.documents, pairs.baseline.documents, pairs.candidate.documents)
        ],
        dtype=np.float64,
    ).reshape(3, -1)
    known, usable = np.isfinite(found[:2]).all(axis=0), np.isfinite(found).all(axis=0)
    low, middle, high = found[:, usable]
    places = pairs.places[usable]
    tokens = [0.0 if each is None else float(each.tokens) for each in pairs.baseline.documents[usable]]
    words = None if pairs.plan.words is None else pairs.plan.words[places]
    sizes = np.asarray(tokens, dtype=np.float64), pairs.plan.bytes[places], words
    whole = ThreeWay(
        task=task,
        metric="",
        kind="perplexity",
        higher_is_better=False,
        base=low,
        fine_tuned=middle,
        candidate=high,
        weights=sizes[0],
        slices=slice_members(pairs.plan, places),
        failed=tuple(pairs.name(pair) for pair in np.flatnonzero(~known).tolist()),
        candidate_failed=tuple(pairs.name(pair) for pair in np.flatnonzero(known & ~usable).tolist()),
    )
    counted = {name: per_unit(way, *sizes) for name, way in computed_by(Likelihood).items()}
    return tuple(
        replace(whole, metric=name, weights=weights) for name, weights in counted.items() if weights is not None
    )


def retained_of(three_way: ThreeWay, *, alpha: float) -> RetainedShare:
    """The share of the gain that is retained. `three_way` must not be empty."""
    if three_way.weights is not None:
        return retained_documents(
            three_way.base, three_way.fine_tuned, three_way.candidate, three_way.weights, alpha=alpha
        )
    sides = (three_way.base, three_way.fine_tuned, three_way.candidate)
    low, middle, high = sides if three_way.higher_is_better else tuple(_turned(three_way, each) for each in sides)
    return retained_items(
        low, middle, high, alpha=alpha, clusters=three_way.clusters, binary=three_way.kind == "binary"
    )


def _turned(three_way: ThreeWay, values: Floats) -> Floats:
    """A lower-is-better metric with more as better."""
    return 1 - values if three_way.kind == "binary" else -values


def levels(three_way: ThreeWay) -> tuple[float, float, float]:
    """The metric's level for base, fine-tuned model and candidate."""
    sides = (three_way.base, three_way.fine_tuned, three_way.candidate)
    if three_way.weights is None:
        low, middle, high = (float(each.mean()) for each in sides)
        return low, middle, high
    shape = math.exp if likelihood(three_way.metric).exponential else float
    low, middle, high = (shape(float(each.sum() / three_way.weights.sum())) for each in sides)
    return low, middle, high


def retained_measure(three_way: ThreeWay, *, unit: str, alpha: float, note: str | None) -> Retained:
    """The measure of a three-way comparison. `note`: why the share is undefined, whatever the numbers."""
    if not three_way.count:
        return Retained(
            task=three_way.task, metric=three_way.metric, unit=unit, n=0, note=note or "no item could be asked"
        )
    found = retained_of(three_way, alpha=alpha)
    low, middle, high = levels(three_way)
    shown = note is None
    return Retained(
        task=three_way.task,
        metric=three_way.metric,
        unit=unit,
        n=found.n,
        clusters=found.clusters,
        base=low,
        fine_tuned=middle,
        candidate=high,
        gain=found.gain,
        gain_lower=found.gain_lower,
        gain_upper=found.gain_upper,
        retained=found.share if shown else None,
        lower=found.lower if shown else None,
        upper=found.upper if shown else None,
        note=note or undefined(found) or found.warning or (None if found.reliable else "too few documents"),
    )


def undefined(found: RetainedShare) -> str | None:
    """Why there is no share, in words; None where there is one."""
    return {
        "shown": None,
        "worse": "fine-tuning made this worse, so there is no gain to keep",
        "not shown": "no gain from fine-tuning is shown by these items",
    }[found.state]
