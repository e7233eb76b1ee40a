"""Speed and memory."""

from __future__ import annotations

from harness.reports.sections.cost import section
from tests.reports.example import example
from tests.reports.sections.said import said


def test_medians_ratio_and_bytes() -> None:
    """Both sides of each workload, and the bytes of every variant; what is not known is said, never a zero."""
    text = said(section(example()))
    assert "Variant int8, Workload 1x256+64, Metric decode_tokens_per_s" in text
    assert "inference figures at 1x256+64" in text
    assert "Variant fp32 (baseline), Weights, resident 538 MB, Weights, on disk not available" in text


def test_what_was_not_measured_is_said() -> None:
    """Neither speed nor memory."""
    bare = example().model_copy(update={"candidates": (), "baseline_memory": None})
    text = said(section(bare))
    assert "Speed was not measured in this run." in text
    assert "Memory was not measured in this run." in text
