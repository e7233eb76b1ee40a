"""Slices in reports: names from the data shown safely, hundreds of them cut short, the verdict whole."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from harness.records.measures import Exploratory, MovedSlice, SliceMeasure
from harness.records.verdict import Verdict
from harness.reports.annotations import annotations as github
from harness.reports.blocks import first, telling
from harness.reports.html import render_html
from harness.reports.junit import render_junit
from harness.reports.markdown import render_markdown
from harness.reports.sections.slices import kept_slices
from harness.reports.terminal import print_verdict
from tests.reports.example import example, finding

HOSTILE = ("topic=<script>alert(1)</script>", "topic=a|b|c", "topic=x\n::error::y", "topic=" + "long " * 400, "topic=")


def verdict(count: int = 300) -> Verdict:
    """The example with hundreds of slice findings, hostile ones among them, and a list of slices that moved."""
    whole = example()
    candidate = whole.candidates[-2]
    names = [*HOSTILE, *(f"topic=v{n}" for n in range(count - len(HOSTILE)))]
    found = [
        finding(
            candidate.variant, "FAIL" if n % 2 else "INCONCLUSIVE", metric="acc", form="max_drop", limit=0.02,
            value=0.1, lower=0.05, upper=0.2, gate=f"gates[1] {name}", cut=name, reason="drop 10.00 pp; limit 2.00 pp",
        )
        for n, name in enumerate(names)
    ]  # fmt: skip
    moved = [
        MovedSlice(
            task="intents", metric="acc", kind="binary", unit="fraction", slice=name, n=1 + n, change=0.1, lower=None,
            upper=0.2, p=0.001, q=0.05,
        )
        for n, name in enumerate(names)
    ]  # fmt: skip
    slices = [
        SliceMeasure(slice=name, n=1, baseline=1.0, candidate=0.0, change=1.0, lower=None, upper=None, p=1.0, q=1.0)
        for name in names
    ]
    changed = candidate.model_copy(
        update={
            "findings": (*candidate.findings, *found),
            "measures": (candidate.measures[0].model_copy(update={"slices": tuple(slices)}), *candidate.measures[1:]),
            "exploratory": Exploratory(slices=count, level=0.1, moved=tuple(moved)),
        }
    )
    return whole.model_copy(update={"candidates": (*whole.candidates[:-2], changed, whole.candidates[-1])})


def terminal(shown: Verdict) -> str:
    written = io.StringIO()
    print_verdict(shown, Console(file=written, width=100))
    return written.getvalue()


def test_hundreds_of_slices_do_not_bury_the_rest() -> None:
    """Terminal, Markdown and HTML show the first ones and say how many they leave out; the verdict has them all."""
    shown = verdict()
    assert "more on single slices" in terminal(shown)
    assert len(terminal(shown).splitlines()) < 120
    text = render_markdown(shown)
    assert "more on single slices" in text
    assert "and 290 more" in text
    page = render_html(shown)
    assert "more findings on single slices are not shown" in page
    assert "240 slices that moved less are not shown" in page
    assert len(page) < 2 * len(render_html(example()))
    assert len(shown.candidates[-2].measures[0].slices) == 300


def test_names_of_slices_are_only_text() -> None:
    """A value of the data is no markup, no table cell, no CI command and no line of its own, however long it is."""
    shown = verdict(20)
    page, text, said = render_html(shown), render_markdown(shown), terminal(shown)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "| topic=a|b|c" not in text
    assert not any(line.startswith("::error::y") for line in (text + said + github(shown)).splitlines())
    for whole in (page, text, said):
        assert "long " * 90 not in whole  # the command that explains a finding needs more of the name than a column
    ET.fromstring(render_junit(shown))


def test_whole_tasks_and_failures_are_kept_first() -> None:
    """What is cut is a slice that passed, and the order of what stays is the suite's."""
    found = [
        finding("q", "PASS", metric="acc", form="max_drop", limit=0.02, value=0.0, cut="s=1"),
        finding("q", "FAIL", metric="acc", form="max_drop", limit=0.02, value=0.0, cut="s=2"),
        finding("q", "PASS", metric="acc", form="max_drop", limit=0.02, value=0.0),
        finding("q", "INCONCLUSIVE", metric="acc", form="max_drop", limit=0.02, value=0.0, cut="s=3"),
    ]
    order = telling([(each.slice is not None, each.decision) for each in found])
    kept, left_out = first(found, order, 2)
    assert ([each.slice for each in kept], left_out) == (["s=2", None], 2)
    assert first(found, order, 9) == (tuple(found), 0)


def test_slices_that_moved_most_stay() -> None:
    """The smallest q first, then the largest change."""
    measure = verdict(20).candidates[-2].measures[0]
    moved = measure.slices[11].model_copy(update={"q": 0.01})
    changed = measure.model_copy(update={"slices": (*measure.slices[:11], moved, *measure.slices[12:])})
    kept, left_out = kept_slices(changed, 1)
    assert (kept, left_out) == ((moved,), 19)


def test_the_list_of_moved_slices_is_shown_and_so_is_its_absence(tmp_path: Path) -> None:
    """Terminal in a line, Markdown and HTML as a table; nothing moved is said in HTML."""
    shown = verdict(8)
    assert "of 8 slices these moved: intents" in " ".join(terminal(shown).split())
    assert "8 of 8 slices moved (exploratory)" in render_markdown(shown)
    assert "which slices moved" in render_html(shown)
    quiet = Exploratory(slices=8, level=0.1, moved=())
    candidate = shown.candidates[-2].model_copy(update={"exploratory": quiet})
    none = shown.model_copy(update={"candidates": (*shown.candidates[:-2], candidate, shown.candidates[-1])})
    assert "of 8 changes on slices none is significant" in render_html(none)
    assert "these moved" not in terminal(none)
    (tmp_path / "page.html").write_text(render_html(verdict()))


@pytest.mark.parametrize("decision", ["PASS", "FAIL"])
def test_a_verdict_of_before_is_still_shown(decision: str) -> None:
    """Verdicts without p, q and list, as they were stored before, render as ever."""
    old = example()
    assert all(candidate.exploratory is None for candidate in old.candidates)
    assert decision in render_html(old)
