"""Every gate with its limit, interval and reason; gates that changed; waivers."""

from __future__ import annotations

from harness.records.findings import GateChange
from harness.reports.blocks import Cell, Table, cells
from harness.reports.sections.gates import section
from tests.reports.example import example
from tests.reports.sections.said import said
from tests.reports.test_waived import use


def rows(**changes: object) -> list[tuple[Cell, ...]]:
    tables = [block for block in section(example().model_copy(update=changes)).blocks if isinstance(block, Table)]
    return [cells(row) for table in tables for group in table.groups for row in group.rows]


def test_a_row_for_every_finding() -> None:
    """What it looks at, the limit as the form writes it, value and bounds, and the command where it is not PASS."""
    found = rows()
    assert len(found) == 3 * 6 + 1
    gate, limit, measured, result, reason = found[6]
    assert (gate.text, limit.text) == ("intents acc", "drop ≤ 2.00 pp")
    assert (measured.text, measured.small) == ("1.10 pp", "-0.60 … 2.90 pp")
    assert (result.decision, result.badge) == ("INCONCLUSIVE", True)
    assert reason.small == "quantgate explain 20260301-101500-a1b2 0 --variant int8"
    assert found[0][4].small == ""
    assert found[3][0].tags == ("warning only",)


def test_what_differs_from_the_rule_is_tagged() -> None:
    """Another reference than the baseline, the gate's name, and the limit at the last promotion."""
    first = example().candidates[0]
    changed = first.findings[0].model_copy(update={"name": "main", "against": "int8@r", "limit_before": 0.01})
    (row,) = rows(candidates=(first.model_copy(update={"findings": (changed,)}),), baseline_findings=())
    assert [cell.tags for cell in row] == [("main",), ("was 1.00 pp",), (), (), ("against int8@r",)]


def test_changed_gates_and_waivers_have_tables() -> None:
    """What lets more through, and of each waiver who, until when and whether it is used."""
    change = GateChange(gate="gates[0]", what="changed", looser=True, says="limit 2.00 pp, was 1.00 pp")
    verdict = example().model_copy(update={"gate_changes": (change,), "waivers": (use(), use(state="ended", says="x"))})
    text = said(section(verdict))
    assert "Gate gates[0], Change changed, Lets through more, What limit 2.00 pp, was 1.00 pp" in text
    assert "By Ann, Until 2026-12-31, State WAIVED" in text
    assert "State ended" in text


def test_no_gate_is_said() -> None:
    """A suite without gates, and a candidate to which none was applied."""
    assert "No gate was applied: It says 4-bit" in said(section(example()))
    bare = example().model_copy(update={"candidates": (), "baseline_findings": ()})
    assert "The suite sets no gate." in said(section(bare))


def test_a_form_of_another_version_is_named_as_it_is() -> None:
    """A verdict with a gate form that this version does not know is still shown."""
    first = example().candidates[0]
    strange = first.findings[0].model_copy(update={"form": "min_something", "unit": ""})
    (row,) = rows(candidates=(first.model_copy(update={"findings": (strange,)}),), baseline_findings=())
    assert (row[1].text, row[2].text) == ("min_something 0.02", "0")
