"""The report formats, a row each: what a run leaves in its folder, and what it prints. A renderer is loaded when it
draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.records.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Format:
    """Text made of a verdict: written to `file` in the run's folder, or printed where that is empty."""

    name: str
    render: Callable[[Verdict], str]
    file: str = ""
    ci: str = ""
    """Printed only where this environment variable is `true`, for a CI that acts on it; empty: for people, always."""


def _markdown(verdict: Verdict) -> str:
    from harness.reports.markdown import render_markdown

    return render_markdown(verdict)


def _html(verdict: Verdict) -> str:
    from harness.reports.html import render_html

    return render_html(verdict)


def _junit(verdict: Verdict) -> str:
    from harness.reports.junit import render_junit

    return render_junit(verdict)


def _terminal(verdict: Verdict) -> str:
    from harness.reports.terminal import render_terminal

    return render_terminal(verdict)


def _annotations(verdict: Verdict) -> str:
    from harness.reports.annotations import annotations

    return annotations(verdict)


FORMATS: Mapping[str, Format] = {
    row.name: row
    for row in (
        Format(name="markdown", render=_markdown, file="report.md"),
        Format(name="html", render=_html, file="report.html"),
        Format(name="junit", render=_junit, file="junit.xml"),
        Format(name="terminal", render=_terminal),
        Format(name="annotations", render=_annotations, ci="GITHUB_ACTIONS"),
    )
}


def write_reports(verdict: Verdict, folder: Path) -> None:
    """Each format that has a file, by rename. Raises `RecordError` when one cannot be written."""
    from harness.records.store import write_atomically

    for each in FORMATS.values():
        if each.file:
            write_atomically(folder / each.file, each.render(verdict).encode())
