"""What each gate on a loss saw, and measures that none looks at."""

from __future__ import annotations

from harness.reports.sections.drops import forests, section
from tests.reports.example import example


def test_a_panel_for_each_gate_on_a_loss() -> None:
    """Gates on whole tasks in suite order, then free measures; levels, ratios and slices have none."""
    panels = forests(example())
    assert [(panel.title, panel.detail) for panel in panels] == [
        ("intents acc", "drop ≤ 2.00 pp against fp32"),
        ("heldout perplexity", "increase ≤ 2.00 % against fp32"),
        ("replies exact_match", "drop, no gate"),
    ]
    assert [row.decision for row in panels[0].rows] == ["PASS", "INCONCLUSIVE", "FAIL"]
    assert [panel.limit for panel in panels] == [0.02, 0.02, None]
    assert "int8: 1.10 pp  (-0.60 … 2.90 pp), INCONCLUSIVE." in panels[0].says


def test_what_is_kept_is_measured_from_one() -> None:
    """The line of no change is where the form says."""
    first = example().candidates[0]
    kept = first.findings[0].model_copy(update={"form": "min_recovery", "limit": 0.97, "value": 0.99})
    verdict = example().model_copy(update={"candidates": (first.model_copy(update={"findings": (kept,)}),)})
    assert forests(verdict)[0].neutral == 1.0
    assert forests(verdict)[0].ticks[0].text.endswith(" %")


def test_nothing_measured_is_no_section() -> None:
    """A run without candidates."""
    assert section(example().model_copy(update={"candidates": ()})) is None
