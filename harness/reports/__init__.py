"""A verdict for people and for CI: sections of plain blocks, drawn by every format. Owns formatting; refuses to judge,
to measure and to read anything but a `Verdict`.

Model output is hostile until it went through `harness.shown`.
"""

from harness.reports.annotations import annotations
from harness.reports.formats import FORMATS, Format, write_reports
from harness.reports.html import render_html
from harness.reports.junit import render_junit
from harness.reports.markdown import render_markdown
from harness.reports.terminal import print_measures, print_verdict

__all__ = [
    "FORMATS",
    "Format",
    "annotations",
    "print_measures",
    "print_verdict",
    "render_html",
    "render_junit",
    "render_markdown",
    "write_reports",
]
