"""Histograms of KL per scored token on a logarithmic axis: how often and how far a variant differs."""

from __future__ import annotations

import math

from harness.metrics.table import of_kind
from harness.notation import significant
from harness.records.measures import Histogram
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import wording
from harness.reports.blocks import Panels, Paragraph, Section
from harness.reports.charts import histogram as charts
from harness.reports.charts.axes import Axis


def section(verdict: Verdict) -> Section | None:
    """A chart per candidate and task, all of a task on one axis; None where no token was scored."""
    panels = tuple(
        _chart(candidate, histogram, _axis(verdict, histogram.task))
        for candidate in verdict.candidates
        for histogram in candidate.histograms
        if sum(histogram.counts) + histogram.below + histogram.above
    )
    about = Paragraph(
        "KL(baseline ‖ variant) of every scored token, in nats, on a logarithmic axis. Further left is closer to "
        "the baseline."
    )
    found = Section(name="divergence", title="Divergence", blocks=(about, Panels(panels=panels)))
    return found if panels else None


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


def _chart(candidate: CandidateVerdict, histogram: Histogram, axis: Axis) -> charts.Histogram:
    total = sum(histogram.counts) + histogram.below + histogram.above
    marked = [(row.name, row.marked) for row in of_kind("divergence") if row.marked is not None]
    measures = [(name, wording.measure_of(candidate, histogram.task, metric)) for metric, name in marked]
    values = [(name, m.candidate) for name, m in measures if m is not None and m.candidate and m.candidate > 0]
    outside = [
        f"{count:,} {where}"
        for count, where in (
            (histogram.below, f"below {significant(histogram.edges[0], 1)}"),
            (histogram.above, f"above {significant(histogram.edges[-1])}"),
        )
        if count
    ]
    beyond = f", {' and '.join(outside)} nats" if outside else ""
    return charts.Histogram(
        title=candidate.variant,
        about=histogram.task,
        unit="nats",
        axis=axis,
        edges=histogram.edges,
        counts=histogram.counts,
        markers=tuple((value, f"{name} {significant(value)}") for name, value in values),
        detail=f"{total:,} tokens{beyond}",
    )
