"""Validity checks."""

from __future__ import annotations

from harness.reports.sections.checks import section
from tests.reports.example import example
from tests.reports.sections.said import said


def test_every_check_with_its_result() -> None:
    """Held, noted, or INVALID with what was found."""
    text = said(section(example()))
    assert "Variant fp32 (baseline), Check counts, Result ✓ held, What was found 1,062 of 1,062" in text
    assert "Variant bf16, Check calibration, Result ! note" in text
    assert "Variant fake, Check quantized, Result INVALID" in text
