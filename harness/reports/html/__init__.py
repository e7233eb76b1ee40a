"""The verdict as one HTML file: no script, no outside address, light and dark, for paper and phones.

Jinja escapes everything (autoescape, undefined names are errors); charts are SVG in the page's own colours.
"""

from __future__ import annotations

from pathlib import Path

from harness.records.verdict import Verdict


def render_html(verdict: Verdict) -> str:
    """The whole page. Equal verdicts give equal bytes."""
    from harness.reports.html.page import page
    from harness.reports.html.templating import render

    return render("page.html.j2", page=page(verdict), verdict=verdict)


def write_html(verdict: Verdict, path: Path) -> None:
    """Write the page to `path` by rename. Raises `RecordError` when it cannot be written."""
    from harness.records.store import write_atomically

    write_atomically(path, render_html(verdict).encode())
