"""Every metric of every candidate."""

from __future__ import annotations

from harness.reports.sections.all_measures import section
from tests.reports.example import example
from tests.reports.sections.said import said


def test_every_measure_beside_both_references() -> None:
    """Against the baseline and against the last promoted version; a divergence has no change, only a value."""
    text = said(section(example()))
    assert "int8 6 measures against fp32" in text
    assert "int8 against the last promoted version int8@20260215-090000-77aa" in text
    assert "Metric intents acc, Baseline 61.2 %, Candidate 60.1 %, Change 1.10 pp, Bounds -0.60 … 2.90 pp" in text
    assert "Metric heldout kl_mean, Baseline –, Candidate 0.012 nats, Change –" in text


def test_nothing_measured_is_said() -> None:
    """A run without a candidate that answered."""
    assert "No candidate was measured." in said(section(example().model_copy(update={"candidates": ()})))
