"""Every metric, gated or not, of each candidate beside the baseline and beside the last promoted version."""

from __future__ import annotations

from harness.notation import DASH, count, level, significant
from harness.records.measures import Measure
from harness.records.verdict import Verdict
from harness.reports import wording
from harness.reports.blocks import Block, Cell, Column, Fold, Paragraph, Row, Section, numbers, table, titled

COLUMNS = titled(
    "Metric",
    *numbers("Baseline", "Candidate", "Change", "Bounds"),
    Column("Flips worse / better", label="Flips", kind="number"),
    Column("McNemar mid-p", label="McNemar", kind="number"),
    *numbers("Items"),
)


def section(verdict: Verdict) -> Section:
    """Says so where nothing was measured."""
    about = Paragraph(
        "Every metric, gated or not. A positive change is worse; for divergence the bounds are of the value "
        "itself. McNemar's mid-p is a diagnostic and decides nothing."
    )
    folds: list[Block] = []
    for candidate in verdict.candidates:
        if candidate.measures:
            note = f"{count(len(candidate.measures), 'measure')} against {verdict.baseline}"
            folds.append(_fold(candidate.variant, note, candidate.measures))
            if candidate.reference_measures:
                note = f"against the last promoted version {verdict.reference or ''}"
                folds.append(_fold(candidate.variant, note, candidate.reference_measures))
    nothing = Paragraph("No candidate was measured.", quiet=False)
    return Section(name="measures", title="Measures", blocks=(about, *(folds or [nothing])))


def _fold(variant: str, note: str, measures: tuple[Measure, ...]) -> Fold:
    return Fold(summary=variant, note=note, blocks=(table(COLUMNS, *map(_row, measures)),))


def _row(measure: Measure) -> Row:
    failed = f"{measure.failed} failed" if measure.failed else ""
    flips = DASH if measure.right_to_wrong is None else f"{measure.right_to_wrong} / {measure.wrong_to_right}"
    return (
        Cell(f"{measure.task} {measure.metric}", tags=tuple(filter(None, (measure.note, failed)))),
        level(measure.baseline, measure.unit),
        level(measure.candidate, measure.unit),
        (DASH if measure.kind == "divergence" else wording.change(measure, measure.change)),
        wording.change_interval(measure),
        flips,
        (DASH if measure.mcnemar_midp is None else significant(measure.mcnemar_midp)),
        wording.counted(measure.n, measure.clusters),
    )
