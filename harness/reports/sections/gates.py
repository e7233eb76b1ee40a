"""Every gate on every variant with its limit, interval and reason; gates that changed; waivers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.notation import DASH, confidence
from harness.records.findings import Finding, GateChange, WaiverUse
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import wording
from harness.reports.blocks import (
    Block,
    Cell,
    Column,
    Group,
    Paragraph,
    Row,
    Section,
    Table,
    badge,
    first,
    table,
    telling,
    titled,
)

SHOWN = 60
"""Findings of one variant."""


def section(verdict: Verdict) -> Section:
    """Present also where the suite sets no gate, which it then says."""
    return Section(name="gates", title="Gates", blocks=tuple(_blocks(verdict)))


def _blocks(verdict: Verdict) -> Iterator[Block]:
    yield Paragraph(
        "PASS needs the whole interval on the good side of the limit. An interval that crosses the limit decides "
        f"nothing. Intervals are one-sided bounds at {confidence(verdict.alpha)} each; FAILs on tasks and slices of "
        "one variant are corrected for their number (Holm)."
    )
    groups = [_group(verdict, candidate) for candidate in verdict.candidates]
    groups += [_group(verdict, None)] if verdict.baseline_findings else []
    if verdict.baseline_findings or any(each.findings for each in verdict.candidates):
        columns = titled(
            "Gate",
            Column("Limit", kind="unbroken"),
            Column("Measured, interval", label="Measured", kind="number"),
            "Result",
            Column("Reason", kind="sentence"),
        )
        yield Table(columns=columns, groups=tuple(groups))
    else:
        yield Paragraph("The suite sets no gate.", quiet=False)
    if verdict.gate_changes:
        promoted = verdict.reference_label or verdict.reference
        yield Paragraph(f"Gates that changed since {promoted} was promoted.")
        yield _table(("Gate", "Change", "Lets through", "What"), map(_change, verdict.gate_changes))
    if verdict.waivers:
        yield Paragraph(
            "Waivers of the suite. One covers a FAIL and nothing else, for one variant, and stops counting on its date."
        )
        yield _table(("Waiver of", "Variant", "By", "Until", "State", "Reason"), map(_waiver, verdict.waivers))


def _group(verdict: Verdict, candidate: CandidateVerdict | None) -> Group:
    if candidate is None:
        heading: Row = (f"{verdict.baseline} (baseline)",)
        findings, note = verdict.baseline_findings, ""
    else:
        heading = (candidate.variant, badge(candidate.decision))
        findings, note = candidate.findings, f"No gate was applied: {candidate.sentence}"
    order = telling([(finding.slice is not None, finding.decision) for finding in findings])
    shown, left_out = first(findings, order, SHOWN)
    if findings:
        more = f"{left_out:,} more findings on single slices are not shown; verdict.json has them all."
        note = more if left_out else ""
    return Group(heading=heading, rows=tuple(_row(verdict, finding) for finding in shown), note=note)


def _row(verdict: Verdict, finding: Finding) -> Row:
    between, before = wording.interval(finding), finding.limit_before
    explained = finding.decision != "PASS" and finding.n is not None
    other = finding.against if finding.against != verdict.baseline else ""
    warns = "warning only" if finding.severity == "warn" else ""
    return (
        Cell(wording.gate_name(finding), tags=tuple(filter(None, (finding.name, warns)))),
        Cell(wording.limit(finding), tags=() if before is None else (f"was {wording.value(finding, before)}",)),
        Cell(wording.value(finding, finding.value), small="" if between == DASH else between),
        badge(finding.decision),
        Cell(
            finding.reason,
            tags=(f"against {other}",) if other else (),
            small=wording.explain_command(verdict, finding) if explained else "",
        ),
    )


def _table(titles: Sequence[str], rows: Iterator[Row]) -> Table:
    columns = [Column(title, kind="sentence" if title == titles[-1] else "text") for title in titles]
    return table(columns, *rows)


def _change(change: GateChange) -> Row:
    through: Cell | str = "not known" if change.looser is None else "less"
    if change.looser:
        through = Cell("more", decision="INCONCLUSIVE")
    return change.gate, change.what, through, change.says


def _waiver(waiver: WaiverUse) -> Row:
    used = waiver.state == "used"
    state = badge("WAIVED")
    return (
        Cell(waiver.gate, tags=tuple(part for part in (waiver.slice, waiver.workload) if part)),
        waiver.variant,
        waiver.by,
        waiver.until,
        state if used else Cell(waiver.state, decision="INCONCLUSIVE"),
        Cell(waiver.reason, small="" if used else waiver.says),
    )
