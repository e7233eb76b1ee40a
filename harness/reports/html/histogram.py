"""Histograms of KL per scored token on a logarithmic axis: how often and how far a variant differs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.metrics.table import of_kind
from harness.notation import significant
from harness.records.measures import Histogram
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports.headline import measure_of
from harness.reports.html.axes import Axis
from harness.reports.html.forest import Tick

BASE_PX, TALLEST_PX = 120, 84


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Percent across, pixels down."""

    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Marker:
    x: float
    text: str


@dataclass(frozen=True, kw_only=True)
class KlChart:
    variant: str
    task: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    markers: tuple[Marker, ...]
    says: str


def kl_charts(verdict: Verdict) -> tuple[KlChart, ...]:
    """One per candidate and task, all of a task on one axis so that they can be compared by eye."""
    return tuple(
        _chart(candidate, histogram, _axis(verdict, histogram.task))
        for candidate in verdict.candidates
        for histogram in candidate.histograms
        if sum(histogram.counts) + histogram.below + histogram.above
    )


def _axis(verdict: Verdict, task: str) -> Axis:
    """From the first to the last edge with any token in it, over all candidates."""
    edges = [
        math.log10(edge)
        for candidate in verdict.candidates
        for histogram in candidate.histograms
        if histogram.task == task
        for index, count in enumerate(histogram.counts)
        if count
        for edge in histogram.edges[index : index + 2]
    ]
    low, high = (min(edges), max(edges)) if edges else (-6.0, 1.0)
    return Axis(low=low, high=max(high, low + 1), log=True)


def _chart(candidate: CandidateVerdict, histogram: Histogram, axis: Axis) -> KlChart:
    tallest = max((*histogram.counts, 1))
    total = sum(histogram.counts) + histogram.below + histogram.above
    bars = []
    for index, count in enumerate(histogram.counts):
        if count:
            left, right = axis.at(histogram.edges[index]), axis.at(histogram.edges[index + 1])
            height = max(1.0, TALLEST_PX * count / tallest)
            bars.append(Bar(x=left, width=right - left, y=BASE_PX - height, height=height))
    markers = []
    for row in of_kind("divergence"):
        measure = measure_of(candidate, histogram.task, row.name) if row.marked is not None else None
        if measure is not None and measure.candidate is not None and measure.candidate > 0:
            markers.append(Marker(x=axis.at(measure.candidate), text=f"{row.marked} {significant(measure.candidate)}"))
    outside = [
        f"{count:,} {where}"
        for count, where in (
            (histogram.below, f"below {significant(histogram.edges[0], 1)}"),
            (histogram.above, f"above {significant(histogram.edges[-1])}"),
        )
        if count
    ]
    return KlChart(
        variant=candidate.variant,
        task=histogram.task,
        bars=tuple(bars),
        ticks=tuple(Tick(x=axis.at(tick), text=f"{tick:g}") for tick in axis.ticks(5)),
        markers=tuple(markers),
        says=f"{total:,} tokens" + (f", {' and '.join(outside)} nats" if outside else ""),
    )
