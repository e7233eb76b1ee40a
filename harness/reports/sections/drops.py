"""Forest plots of what each gate on a loss saw, then of quality measures that no such gate looks at."""

from __future__ import annotations

from harness.metrics.table import lookup
from harness.notation import Notation
from harness.records.findings import Finding
from harness.records.measures import Measure
from harness.records.verdict import Verdict
from harness.reports import wording
from harness.reports.blocks import Mark, Panels, Paragraph, Section
from harness.reports.charts.forest import Forest, ForestRow

KEY: tuple[tuple[Mark, str], ...] = (
    ("PASS", "PASS"),
    ("INCONCLUSIVE", "INCONCLUSIVE"),
    ("FAIL", "FAIL"),
    ("INVALID", "INVALID"),
    ("no gate", "no gate"),
)


def section(verdict: Verdict) -> Section | None:
    """Gates on whole tasks in suite order, then free measures; None where there is neither."""
    panels = forests(verdict)
    about = Paragraph(
        "Loss against the baseline, or what is kept, with its bounds. The solid line is the limit, the dotted "
        "line is no change."
    )
    found = Section(name="drops", title="Drops", blocks=(about, Panels(panels=panels, key=KEY)))
    return found if panels else None


def forests(verdict: Verdict) -> tuple[Forest, ...]:
    gates: dict[tuple[str, str], list[Finding]] = {}
    for candidate in verdict.candidates:
        for finding in candidate.findings:
            if wording.is_loss(finding) and finding.slice is None:
                gates.setdefault((finding.gate, finding.form), []).append(finding)
    looked_at = [f for found in gates.values() for f in found if not wording.is_of_base(f)]
    seen = {(finding.task, finding.metric) for finding in looked_at}
    free: dict[tuple[str, str], list[tuple[str, Measure]]] = {}
    for candidate in verdict.candidates:
        for measure in candidate.measures:
            key = (measure.task, measure.metric)
            row = lookup(measure.metric)
            restated = row is not None and row.restates
            if measure.kind != "divergence" and not restated and key not in seen:
                free.setdefault(key, []).append((candidate.variant, measure))
    return (*map(_of_gate, gates.values()), *map(_of_measures, free.values()))


def _of_gate(found: list[Finding]) -> Forest:
    gate = found[0]
    against = f" against {gate.against}" if gate.against else ""
    rows = [
        ForestRow(variant=f.variant, decision=f.decision, value=f.value, lower=f.lower, upper=f.upper) for f in found
    ]
    return Forest(
        title=wording.gate_name(gate),
        detail=f"{wording.limit(gate)}{against}",
        rows=tuple(rows),
        notation=wording.notation(gate),
        unit=gate.unit,
        limit=gate.limit,
        neutral=wording.neutral(gate),
    )


def _of_measures(found: list[tuple[str, Measure]]) -> Forest:
    measure, notation = found[0][1], wording.change_of(found[0][1].kind)
    rows = [ForestRow(variant=v, decision=None, value=m.change, lower=m.lower, upper=m.upper) for v, m in found]
    return Forest(
        title=f"{measure.task} {measure.metric}",
        detail=f"{'rise' if notation is Notation.PERCENT else 'drop'}, no gate",
        rows=tuple(rows),
        notation=notation,
        unit=measure.unit,
        limit=None,
        neutral=0.0,
    )
