"""The report formats, a row each: what a run leaves in its folder, and what it prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.records.verdict import Verdict
from harness.reports.annotations import annotations as render_annotations
from harness.reports.html import render_html
from harness.reports.junit import render_junit
from harness.reports.markdown import render_markdown
from harness.reports.terminal import render_terminal


@dataclass(frozen=True, kw_only=True)
class Format:
    """Text made of a verdict: written to `file` in the run's folder, or printed where that is empty."""

    name: str
    render: Callable[[Verdict], str]
    file: str = ""
    ci: str = ""
    """Printed only where this environment variable is `true`, for a CI that acts on it; empty: for people, always."""


FORMATS: Mapping[str, Format] = {
    row.name: row
    for row in (
        Format(name="markdown", render=render_markdown, file="report.md"),
        Format(name="html", render=render_html, file="report.html"),
        Format(name="junit", render=render_junit, file="junit.xml"),
        Format(name="terminal", render=render_terminal),
        Format(name="annotations", render=render_annotations, ci="GITHUB_ACTIONS"),
    )
}


def write_reports(verdict: Verdict, folder: Path) -> None:
    """Each format that has a file, by rename. Raises `RecordError` when one cannot be written."""
    from harness.records.store import write_atomically

    for each in FORMATS.values():
        if each.file:
            write_atomically(folder / each.file, each.render(verdict).encode())
