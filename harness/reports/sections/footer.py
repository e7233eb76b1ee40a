"""What made the report, and from what: the last line."""

from __future__ import annotations

from harness.notation import confidence, duration
from harness.records.verdict import Verdict
from harness.reports.blocks import Footer, Section


def section(verdict: Verdict) -> Section:
    """In short also what the page says at its head."""
    judged = verdict.judged_at[:16].replace("T", " ")
    page = (
        (f"quantgate {verdict.quantgate}", ""),
        (f"judged {judged} UTC", ""),
        (f"verdict schema {verdict.schema_version}", ""),
        (f"exit code {verdict.exit_code}", ""),
    )
    short = (
        (f"Baseline {verdict.baseline}", ""),
        (f"run {verdict.run}", verdict.label),
        (duration(verdict.elapsed_s), ""),
        (f"bounds one-sided at {confidence(verdict.alpha)}", ""),
        (f"quantgate {verdict.quantgate}", ""),
    )
    return Section(blocks=(Footer(parts=page),), short=(Footer(parts=short),))
