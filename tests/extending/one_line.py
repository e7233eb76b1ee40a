"""The verdict in one line of text."""

from __future__ import annotations

from harness.records.verdict import Verdict


def render(verdict: Verdict) -> str:
    return f"{verdict.suite}: {verdict.decision}\n"
