"""The last line."""

from __future__ import annotations

from harness.reports.sections.footer import section
from tests.reports.example import example
from tests.reports.sections.said import said


def test_what_made_it_and_from_what() -> None:
    """On a page the exit code; in short the run and its confidence."""
    found = section(example().model_copy(update={"label": "v3"}))
    assert said(found).endswith("exit code 12")
    assert said(found, short=True) == (
        "Baseline fp32 · run 20260301-101500-a1b2 (v3) · 6 min 09 s · bounds one-sided at 95 % · quantgate 0.1.0"
    )
