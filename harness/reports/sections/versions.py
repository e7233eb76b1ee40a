"""The loss over promoted versions, step by step and in all."""

from __future__ import annotations

from harness.notation import DASH
from harness.records.measures import CumulativeDrift, DriftStep
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import wording
from harness.reports.blocks import Cell, Column, Fold, Group, Paragraph, Row, Section, Table, badge, numbers, titled

COLUMNS = titled("Version", Column("Promoted", kind="unbroken"), *numbers("Step", "In all", "Items"))


def section(verdict: Verdict) -> Section | None:
    """None where no version was promoted."""
    drifted = [candidate for candidate in verdict.candidates if candidate.creep]
    about = Paragraph(
        "Every promoted version and then the candidate: the change from the version before, and in all from "
        f"{verdict.baseline}. Each is paired over the same items with bounds of its own; bounds are never added up. "
        f"The gate against {verdict.baseline} is what stops cumulative drift."
    )
    folds = [_fold(candidate, is_open=candidate is drifted[0]) for candidate in drifted]
    found = Section(name="versions", title="Loss over versions", link="Versions", blocks=(about, *folds))
    return found if drifted else None


def _fold(candidate: CandidateVerdict, *, is_open: bool) -> Fold:
    table = Table(columns=COLUMNS, groups=tuple(map(_group, candidate.creep)))
    return Fold(summary=candidate.variant, note=f"{len(candidate.creep)} metrics", blocks=(table,), open=is_open)


def _group(drift: CumulativeDrift) -> Group:
    limit = "no limit in all" if drift.limit is None else f"limit {_amount(drift, drift.limit)} in all"
    heading: list[Cell | str] = [Cell(f"{drift.task} {drift.metric}", tags=(limit,))]
    for word, decision in (("step", drift.step_decision), ("in all", drift.total_decision)):
        if decision:
            heading += [word, badge(decision)]
    rows = [_row(drift, step) for step in drift.steps]
    return Group(heading=tuple(heading), rows=tuple(rows), note=drift.starts_anew or "")


def _row(drift: CumulativeDrift, step: DriftStep) -> Row:
    earlier = f"{drift.earlier} earlier and " if step is drift.steps[0] and drift.earlier else ""
    return (
        Cell(f"{earlier}{step.version}", tags=("this run",) if step is drift.steps[-1] else ()),
        (step.promoted_at[:10] if step.promoted_at else DASH),
        Cell(_amount(drift, step.step), small=_bounds(drift, step.step_lower, step.step_upper)),
        Cell(_amount(drift, step.total), small=_bounds(drift, step.total_lower, step.total_upper)),
        f"{step.n:,}",
    )


def _unit(drift: CumulativeDrift) -> str:
    """Metrics that only lm-eval knows have no unit in our table; one of zeros and ones is a fraction."""
    return drift.unit or ("fraction" if drift.kind == "binary" else "")


def _amount(drift: CumulativeDrift, value: float | None) -> str:
    return wording.change_of(drift.kind).amount(value, _unit(drift))


def _bounds(drift: CumulativeDrift, lower: float | None, upper: float | None) -> str:
    return wording.change_of(drift.kind).span(lower, upper, _unit(drift))
