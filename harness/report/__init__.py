"""A verdict for people and for CI. Owns formatting; refuses to judge, to measure and to read anything else.

Every function takes a `Verdict` (`harness.records.verdict`) and gives text or writes one file by rename.
Model output is hostile until it went through `text.py`.
"""

from harness.report.annotations import annotations
from harness.report.html import render_html, write_html
from harness.report.junit import render_junit, write_junit
from harness.report.markdown import render_markdown, write_markdown
from harness.report.terminal import print_measures, print_verdict

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
