"""One row per run, variant and metric: what the verdicts of a suite say over time, before they are put in series."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer

from harness.metrics.row import StoredBytes
from harness.metrics.table import computed_by
from harness.notation import worst
from harness.records.findings import Decision, FindingDecision
from harness.records.summary import (
    CandidateView,
    FactsView,
    GateView,
    MeasureView,
    SpeedView,
    VerdictSummary,
)
from harness.records.timings import MemoryFigures
from harness.trends.comparable import Measured, of_cost, of_quality


@dataclass(frozen=True, kw_only=True)
class Outside:
    """Why a figure is in no series."""

    code: Literal["INVALID", "nothing", "stopped", "partial"]
    items: int = 0
    planned: int = 0
    """Of these it was stopped after `items`."""
    limit: int | None = None
    """At most so many items of each task; None where a part of the suite was left out."""
    sentence: str = ""
    """Why a variant is INVALID, where it has no figure that says so."""

    def __str__(self) -> str:
        match self.code:
            case "INVALID":
                return self.sentence or self.code
            case "nothing":
                return "nothing was measured"
            case "stopped":
                return f"stopped early, after {self.items:,} of {self.planned:,} items"
            case "partial":
                return "partial run" if self.limit is None else f"partial run, --limit {self.limit}"


@dataclass(frozen=True, kw_only=True)
class SeriesEvent:
    """A new series begins, or an earlier one goes on."""

    event: Literal["new", "back"]
    series: int
    changes: tuple[str, ...]
    """What is not as in the run before."""

    def __str__(self) -> str:
        changed = "; ".join(self.changes)
        return f"back to series {self.series}: {changed}" if self.event == "back" else changed


WRITTEN_AS = {"outside": "note", "series_event": "series_reason"}
"""Fields that other programs get in words, and their names there."""
_WORDS = PlainSerializer(lambda value: "" if value is None else str(value), return_type=str)


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """One figure of one candidate in one run. Fractions, nats, seconds, bytes; None where it is not available.

    `change`, `lower`, `upper`: a drop (positive is worse), a perplexity's relative rise, a divergence's own
    value, or for speed and memory the ratio candidate / baseline.
    """

    run: str
    started_at: str
    variant: str
    metric: str
    """Empty in the one row of a candidate that was not measured."""
    task: str
    """The task; for speed the workload; for memory empty."""
    kind: str
    """`binary`, `graded`, `perplexity`, `divergence`, `speed`, `memory`, or `none` where nothing was measured."""
    unit: str
    baseline: float | None
    candidate: float | None
    change: float | None
    lower: float | None
    upper: float | None
    decision: FindingDecision | None
    """Of the gates on this figure against the baseline in that run; None where there was none. Gates against the last
    promoted version judge another difference than `change`."""
    verdict: Decision
    """Of the variant in that run."""
    accepted: bool
    """This variant of this run was promoted."""
    host: str
    """Fingerprint: speed and memory are compared only between equal ones."""
    label: str
    """The version's label; empty for none."""
    model: str
    """Hash or name of the baseline's weights: another one is another fine-tune. Empty where it was not recorded."""
    alpha: float
    """The bounds are one-sided at 1 - alpha each."""
    worse: int
    """1: a larger change is worse, -1: a smaller one is."""
    outside: Annotated[Outside | None, _WORDS, Field(serialization_alias=WRITTEN_AS["outside"])]
    """Why this figure is in no series; None where it is in one."""
    series: int | None = None
    """Counted from 1 for each figure of each variant; None where it is in none."""
    series_event: Annotated[SeriesEvent | None, _WORDS, Field(serialization_alias=WRITTEN_AS["series_event"])] = None
    """That another series begins here or is taken up again, and why; None where the series before goes on."""
    shift: float | None = None
    """A shift of level marked at this run: the level from here on minus the level before; for speed and memory
    their ratio."""

    @property
    def note(self) -> str:
        """Why this figure is in no series, in words; empty where it is in one."""
        return "" if self.outside is None else str(self.outside)

    @property
    def series_reason(self) -> str:
        """Why another series begins here or is taken up again, in words."""
        return "" if self.series_event is None else str(self.series_event)


INVALID = Outside(code="INVALID")
Line = tuple[str, str, str]
"""Variant, task, metric: what is followed over runs."""


def line_of(row: HistoryRow) -> Line:
    return row.variant, row.task, row.metric


def rows_of(
    summary: VerdictSummary, accepted: Collection[tuple[str, str]] = ()
) -> Iterator[tuple[HistoryRow, Measured]]:
    """Every figure of every candidate with its conditions. `accepted`: promoted (run, variant)."""
    for found in summary.candidates:
        own = tuple(each for each in found.findings if summary.reference is None or each.against != summary.reference)
        candidate = found.model_copy(update={"findings": own})
        blank = _unmeasured(summary, candidate, (summary.run, candidate.variant) in accepted)
        quality = [
            (_of_measure(blank, each, candidate, outside=_outside(summary, candidate, each.task)), each.task)
            for each in candidate.measures
        ]
        for row, task in quality:
            yield row, of_quality(summary, candidate, task)
        measured = replace(blank, outside=INVALID if candidate.decision == "INVALID" else None)
        cost = [_of_speed(measured, each, candidate) for each in candidate.speed]
        cost += _of_memory(measured, summary, candidate)
        conditions = of_cost(summary, candidate)
        for row in cost:
            yield row, conditions
        if not quality and not cost:
            yield blank, conditions


def _unmeasured(summary: VerdictSummary, candidate: CandidateView, accepted: bool) -> HistoryRow:
    """The row of a candidate without any figure."""
    conditions = summary.baseline_conditions
    return HistoryRow(
        run=summary.run,
        started_at=summary.started_at,
        variant=candidate.variant,
        metric="",
        task="",
        kind="none",
        unit="",
        baseline=None,
        candidate=None,
        change=None,
        lower=None,
        upper=None,
        decision=None,
        verdict=candidate.decision,
        accepted=accepted,
        host=summary.host.fingerprint,
        label=summary.label,
        model=conditions.weights if conditions is not None else "",
        alpha=summary.alpha,
        worse=1,
        outside=Outside(code="INVALID" if candidate.decision == "INVALID" else "nothing", sentence=candidate.sentence),
    )


def _outside(summary: VerdictSummary, candidate: CandidateView, task: str) -> Outside | None:
    """Why a quality figure of this run is in no series; one of all items of a task is in one."""
    if candidate.decision == "INVALID":
        return INVALID
    stop = candidate.stopped
    if stop is not None and stop.task == task:
        return Outside(code="stopped", items=stop.items, planned=stop.planned)
    asked = next((each for each in summary.tasks if each.task == task and each.plan), None)
    partial = Outside(code="partial", limit=summary.limit)
    if summary.limit is not None:
        return None if asked is not None and asked.items < summary.limit else partial
    return None if asked is not None or not summary.partial else partial


def _of_measure(
    blank: HistoryRow, measure: MeasureView, candidate: CandidateView, *, outside: Outside | None
) -> HistoryRow:
    own = measure.kind == "divergence"  # a level of its own, and the only kind where more may be better
    return replace(
        blank,
        metric=measure.metric,
        task=measure.task,
        kind=measure.kind,
        unit=measure.unit,
        baseline=measure.baseline,
        candidate=measure.candidate,
        change=measure.change,
        lower=measure.lower,
        upper=measure.upper,
        worse=-1 if own and measure.higher_is_better else 1,
        decision=_decision(candidate.findings, measure.metric, task=measure.task),
        outside=outside,
    )


def _of_speed(blank: HistoryRow, speed: SpeedView, candidate: CandidateView) -> HistoryRow:
    return replace(
        blank,
        metric=speed.metric,
        task=speed.workload,
        kind="speed",
        unit=speed.unit,
        baseline=speed.baseline,
        candidate=speed.candidate,
        change=speed.ratio,
        lower=speed.lower,
        upper=speed.upper,
        worse=-1 if speed.higher_is_better else 1,
        decision=_decision(candidate.findings, speed.metric, workload=speed.workload),
    )


def _of_memory(blank: HistoryRow, summary: VerdictSummary, candidate: CandidateView) -> list[HistoryRow]:
    """Each memory metric that both sides have; bytes of weights come from the load where no memory was measured."""
    ours = candidate.memory or _loaded(candidate.facts)
    theirs = summary.baseline_memory or _loaded(summary.baseline_facts)
    figures = [
        (metric, getattr(ours, stored.field), getattr(theirs, stored.field))
        for metric, stored in computed_by(StoredBytes).items()
    ]
    return [
        replace(
            blank,
            metric=metric,
            kind="memory",
            unit="B",
            baseline=float(against),
            candidate=float(value),
            change=value / against,
            decision=_decision(candidate.findings, metric, workload=""),
        )
        for metric, value, against in figures
        if value is not None and against
    ]


def _loaded(facts: FactsView | None) -> MemoryFigures:
    if facts is None:
        return MemoryFigures()
    return MemoryFigures(weight_bytes=facts.weight_bytes, disk_bytes=facts.disk_bytes)


def _decision(
    findings: Iterable[GateView], metric: str, *, task: str | None = None, workload: str | None = None
) -> FindingDecision | None:
    """The worst decision of the gates on the whole of this figure."""
    return worst(
        finding.decision
        for finding in findings
        if finding.metric == metric
        and finding.slice is None
        and (finding.task == task if task is not None else finding.workload in (None, workload))
    )
