"""How the run was judged, in plain sentences."""

from __future__ import annotations

from harness.records.verdict import Verdict
from harness.reports.blocks import Line, Lines, Section


def section(verdict: Verdict) -> Section:
    """As the gates wrote them."""
    steps = Lines(kind="steps", lines=tuple(Line(text) for text in verdict.method))
    return Section(name="method", title="How it was judged", link="Method", blocks=(steps,))
