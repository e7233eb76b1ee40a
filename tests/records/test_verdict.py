"""What a verdict answers for: its exit code and its headline."""

from __future__ import annotations

import math

import pytest

from harness.records.findings import Decision, Finding
from tests.reports.example import example

FINDING = {
    "gate": "gates[0]", "variant": "v", "task": "t", "metric": "acc", "form": "max_drop", "limit": 0.02, "value": 0.0,
    "alpha": 0.05, "n": 1, "unit": "fraction", "decision": "INCONCLUSIVE", "severity": "block", "against": "full",
    "reason": "one item",
}  # fmt: skip


@pytest.mark.parametrize(("decision", "code"), [("PASS", 0), ("FAIL", 10), ("INCONCLUSIVE", 11), ("INVALID", 12)])
def test_each_decision_has_its_exit_code(decision: Decision, code: int) -> None:
    """The codes that scripts go by; and 0 whatever was found where no verdict was asked for."""
    verdict = example().model_copy(update={"decision": decision})
    assert (verdict.exit_code, verdict.headline) == (code, decision)
    shown = verdict.model_copy(update={"report_only": True})
    assert (shown.exit_code, shown.headline) == (0, "REPORT ONLY")


@pytest.mark.parametrize("bound", [math.inf, -math.inf])
def test_a_bound_that_bounds_nothing_is_none(bound: float) -> None:
    """Infinity is never stored: it is said as there being no bound."""
    assert Finding.model_validate({**FINDING, "lower": bound, "upper": 0.5}).lower is None
