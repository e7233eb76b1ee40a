"""A verdict for people and for CI. Owns formatting; refuses to judge, to measure and to read anything else.

Every function takes a `Verdict` (`harness.records.verdict`) and gives text or writes one file by rename.
Model output is hostile until it went through `text.py`.
"""

from harness.reports.annotations import annotations
from harness.reports.html import render_html, write_html
from harness.reports.junit import render_junit, write_junit
from harness.reports.markdown import render_markdown, write_markdown
from harness.reports.terminal import print_measures, print_verdict

__all__ = [
    "annotations",
    "print_measures",
    "print_verdict",
    "render_html",
    "render_junit",
    "render_markdown",
    "write_html",
    "write_junit",
    "write_markdown",
]
