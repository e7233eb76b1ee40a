"""How it was judged."""

from __future__ import annotations

from harness.reports.sections.method import section
from tests.reports.example import example
from tests.reports.sections.said import said


def test_the_sentences_of_the_verdict() -> None:
    """In their order, as the gates wrote them."""
    assert said(section(example())).splitlines() == list(example().method)
