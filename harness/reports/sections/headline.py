"""The decision and its sentence, and below a FAIL or INCONCLUSIVE the command that explains it."""

from __future__ import annotations

from harness.notation import duration
from harness.records.verdict import Verdict
from harness.reports import wording
from harness.reports.blocks import Headline, Line, Lines, Section


def section(verdict: Verdict) -> Section:
    """First on a page, last in a terminal."""
    promoted = verdict.reference_label or verdict.reference
    also = f", and with the last promoted version {promoted}" if promoted else ""
    began = verdict.started_at[:16].replace("T", " ")
    told = Headline(
        title=verdict.suite,
        about=f"run {verdict.run}",
        tag=verdict.label,
        decision=verdict.decision,
        word=verdict.headline,
        judged=not verdict.report_only,
        sentence=verdict.sentence,
        note=f"Compared with {verdict.baseline}{also}. {began} UTC, {duration(verdict.elapsed_s)}.",
        warning="A partial run: not the whole suite." if verdict.partial else "",
    )
    why = Lines(kind="quiet", lines=tuple(Line(hint, only=("terminal",)) for hint in _hint(verdict)))
    return Section(blocks=(why, told))


def _hint(verdict: Verdict) -> list[str]:
    """For the first finding that is no PASS and has numbers; a FAIL that blocks comes before others."""
    every = (*verdict.baseline_findings, *(finding for each in verdict.candidates for finding in each.findings))
    undecided = [finding for finding in every if finding.decision in ("FAIL", "INCONCLUSIVE") and finding.n is not None]
    undecided.sort(key=lambda finding: (finding.severity == "warn", finding.decision != "FAIL"))
    return [f"why: {wording.explain_command(verdict, finding)}" for finding in undecided[:1]]
