"""What must hold for a comparison to mean anything, and whether it did."""

from __future__ import annotations

from harness.records.findings import Check
from harness.records.verdict import Verdict
from harness.reports import wording
from harness.reports.blocks import Cell, Column, Group, Paragraph, Row, Section, Table, badge, titled

COLUMNS = titled(
    "Variant",
    Column("Check", kind="unbroken"),
    Column("Result", kind="unbroken"),
    Column("What was found", label="What", kind="sentence"),
)


def section(verdict: Verdict) -> Section:
    """The baseline's checks, then each candidate's."""
    about = Paragraph(
        "What must hold for the comparison to mean anything. A check that does not hold makes the variant "
        "INVALID; a note does not."
    )
    groups = []
    for name, candidate in wording.sides(verdict):
        checks = verdict.baseline_checks if candidate is None else candidate.checks
        groups.append(Group(tuple(_row(name, check) for check in checks)))
    return Section(name="checks", title="Validity", blocks=(about, Table(columns=COLUMNS, groups=tuple(groups))))


def _row(name: str, check: Check) -> Row:
    result = Cell("! note", decision="INCONCLUSIVE")
    if check.held:
        result = Cell("✓ held", decision="PASS")
    elif check.blocks:
        result = badge("INVALID")
    return name, check.name, result, check.says
