"""The table of formats, and a section of one's own in each of them."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from harness.records.verdict import Verdict
from harness.reports.annotations import annotations as github_annotations
from harness.reports.blocks import Line, Lines, Section
from harness.reports.formats import FORMATS, write_reports
from harness.reports.html import render_html
from harness.reports.junit import render_junit
from harness.reports.markdown import render_markdown
from harness.reports.sections import SECTIONS, Row, arranged
from harness.reports.terminal import print_verdict
from tests.reports.example import example


def _own(verdict: Verdict) -> Section:
    return Section(name="own", title="A section of our own", blocks=(Lines(lines=(Line(f"{verdict.run} was sunny"),)),))


OWN = (*SECTIONS, Row(_own, {"html": 99, "markdown": 99, "junit": 99, "annotations": 99, "terminal": 99}))


def test_a_new_section_is_in_every_report() -> None:
    """Its file and one row are all that it takes: each format draws its blocks."""
    out = io.StringIO()
    print_verdict(example(), Console(file=out, width=120, color_system=None), OWN)
    formats = (render_html, render_markdown, render_junit, github_annotations)
    drawn = [render(example(), OWN) for render in formats]
    for text in (*drawn, out.getvalue()):
        assert "20260301-101500-a1b2 was sunny" in text
    assert '<a href="#own">A section of our own</a>' in drawn[0]


def test_each_format_that_has_a_file_is_written(tmp_path: Path) -> None:
    """Under its name; the others are printed, one of them only where a CI reads it."""
    write_reports(example(), tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {each.file: each.render(example()) for each in FORMATS.values() if each.file}
    assert [(each.name, each.ci) for each in FORMATS.values() if not each.file] == [
        ("terminal", ""),
        ("annotations", "GITHUB_ACTIONS"),
    ]


def test_no_section_stands_twice_at_one_place_of_a_page() -> None:
    """In HTML every section has a place and an anchor of its own; a verdict with everything in it shows each once."""
    places = [row.places["html"] for row in SECTIONS if "html" in row.places]
    assert len(places) == len(set(places))
    names = [section.name for section in arranged(example(), "html") if section.name]
    assert len(names) == len(set(names))
