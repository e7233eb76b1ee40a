"""What was judged of each variant."""

from __future__ import annotations

from harness.reports.blocks import Outcomes
from harness.reports.sections.reasons import section
from tests.reports.example import example


def outcomes(**changes: object) -> list[Outcomes]:
    return [block for block in section(example().model_copy(update=changes)).blocks if isinstance(block, Outcomes)]


def test_every_finding_and_every_check_is_an_outcome() -> None:
    """Of the baseline and of each candidate; what is not PASS is listed with checks first."""
    found = outcomes()
    assert [each.title for each in found] == ["fp32 (baseline)", "bf16", "int8", "nf4", "fake"]
    nf4 = found[3]
    assert [each.kind for each in nf4.outcomes] == ["gate"] * 6 + ["check"] * 3
    assert [each.kind for each in nf4.failed][:2] == ["check", "gate"]
    assert nf4.failed[1].line.startswith("intents acc: down 4.60 pp")
    assert nf4.failed[1].case == "gates[0] intents acc drop ≤ 2.00 pp"
    assert {each.weight for each in nf4.failed} == {"note", "block", "warn"}


def test_a_variant_that_no_gate_stopped_says_why_itself() -> None:
    """One that is not PASS without a failure of its own is a case of its own, with its sentence."""
    first = example().candidates[0]
    (_, found) = outcomes(candidates=(first.model_copy(update={"decision": "INCONCLUSIVE", "sentence": "stopped"}),))
    assert [(each.kind, each.decision, each.reason) for each in found.outcomes][-1] == (
        "verdict",
        "INCONCLUSIVE",
        "stopped",
    )
    assert found.otherwise == "stopped"


def test_report_only_blames_nobody() -> None:
    """Without a verdict the variant's case does not block."""
    (_, found) = outcomes(candidates=example().candidates[:1], report_only=True)
    assert [(each.kind, each.weight) for each in found.outcomes][-1] == ("verdict", "note")
