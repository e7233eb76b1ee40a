"""One row per run, variant and metric: what the verdicts of a suite say over time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from harness.records.verdict import CandidateVerdict, Decision, Finding, FindingDecision, Verdict


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """One figure of one candidate in one run. Fractions, nats, seconds; None where it could not be had.

    `change`, `lower`, `upper`: a drop (positive is worse), a perplexity's relative rise, a divergence's own
    value, or for speed the ratio candidate / baseline.
    """

    run: str
    started_at: str
    variant: str
    metric: str
    task: str
    """The task; for speed the workload."""
    kind: str
    """`binary`, `graded`, `perplexity`, `divergence` or `speed`."""
    unit: str
    baseline: float | None
    candidate: float | None
    change: float | None
    lower: float | None
    upper: float | None
    decision: FindingDecision | None
    """Of the gates on this figure in that run; None where there was none."""
    verdict: Decision
    """Of the variant in that run."""
    accepted: bool
    """This variant of this run was promoted."""
    host: str
    """Fingerprint: speed is compared only between equal ones."""


def collect(verdicts: Iterable[Verdict], accepted: Collection[tuple[str, str]] = ()) -> tuple[HistoryRow, ...]:
    """Every figure of every candidate, oldest run first. `accepted`: promoted (run, variant)."""
    ordered = sorted(verdicts, key=lambda verdict: (verdict.started_at, verdict.run))
    return tuple(
        row
        for verdict in ordered
        for candidate in verdict.candidates
        for row in _rows(verdict, candidate, (verdict.run, candidate.variant) in accepted)
    )


def _rows(verdict: Verdict, candidate: CandidateVerdict, accepted: bool) -> list[HistoryRow]:
    rows = [
        HistoryRow(
            run=verdict.run,
            started_at=verdict.started_at,
            variant=candidate.variant,
            metric=measure.metric,
            task=measure.task,
            kind=measure.kind,
            unit=measure.unit,
            baseline=measure.baseline,
            candidate=measure.candidate,
            change=measure.change,
            lower=measure.lower,
            upper=measure.upper,
            decision=_decision(candidate.findings, measure.metric, task=measure.task),
            verdict=candidate.decision,
            accepted=accepted,
            host=verdict.host.fingerprint,
        )
        for measure in candidate.measures
    ]
    rows += [
        HistoryRow(
            run=verdict.run,
            started_at=verdict.started_at,
            variant=candidate.variant,
            metric=speed.metric,
            task=speed.workload,
            kind="speed",
            unit=speed.unit,
            baseline=speed.baseline,
            candidate=speed.candidate,
            change=speed.ratio,
            lower=speed.lower,
            upper=speed.upper,
            decision=_decision(candidate.findings, speed.metric, workload=speed.workload),
            verdict=candidate.decision,
            accepted=accepted,
            host=verdict.host.fingerprint,
        )
        for speed in candidate.speed
    ]
    return rows


def _decision(
    findings: tuple[Finding, ...], metric: str, *, task: str | None = None, workload: str | None = None
) -> FindingDecision | None:
    """The worst decision of the gates on the whole of this figure."""
    order: tuple[FindingDecision, ...] = ("INVALID", "FAIL", "INCONCLUSIVE", "WAIVED", "PASS")
    found = {
        finding.decision
        for finding in findings
        if finding.metric == metric
        and finding.slice is None
        and (finding.task == task if task is not None else finding.workload in (None, workload))
    }
    return next((decision for decision in order if decision in found), None)
