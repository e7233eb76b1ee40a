"""How many candidates have which decision."""

from __future__ import annotations

from collections import Counter

from harness.records.verdict import Verdict
from harness.reports.blocks import Paragraph, Section


def section(verdict: Verdict) -> Section:
    tally = Counter(candidate.decision for candidate in verdict.candidates)
    text = ", ".join(f"{count} x {decision}" for decision, count in sorted(tally.items()))
    return Section(name="tally", title="Tally", link="Tally", blocks=(Paragraph(text=f"Tally: {text}"),))
