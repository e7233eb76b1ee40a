"""Every block in every format: what it says can be read there, whatever it says does nothing."""

from __future__ import annotations

import html
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import get_args

import pytest
from rich.console import Console

from harness.notation import Notation
from harness.reports import junit, markdown, terminal
from harness.reports.annotations import drawn as annotations_drawn
from harness.reports.blocks import (
    Block,
    Card,
    Cell,
    Chart,
    Column,
    Facts,
    Flips,
    Fold,
    Footer,
    Group,
    Headline,
    Line,
    Lines,
    Outcome,
    Outcomes,
    Panels,
    Paragraph,
    Section,
    Table,
    badge,
    first,
    numbers,
    table,
    telling,
)
from harness.reports.charts.axes import Axis
from harness.reports.charts.forest import Forest, ForestRow
from harness.reports.charts.histogram import Histogram
from harness.reports.charts.lines import LineChart, LinePoint
from harness.reports.charts.scatter import Point, Scatter
from harness.reports.html import drawn as html_drawn
from tests.reports.example import HOSTILE, example

SAID = "the needle"
TEXT = f"{SAID} {HOSTILE}"
RATIO = Notation.RATIO.scale("")
CHARTS: tuple[Chart, ...] = (
    Forest(
        title=TEXT, detail="drop", notation=Notation.POINTS, unit="fraction", limit=0.02, neutral=0.0,
        rows=(ForestRow(variant=HOSTILE, decision="FAIL", value=0.03, lower=0.01, upper=0.05),
              ForestRow(variant="b", decision=None, value=None, lower=None, upper=None)),
    ),
    Histogram(title=TEXT, about=HOSTILE, unit="nats", axis=Axis(low=-3, high=0, log=True), edges=(0.001, 0.1, 1.0),
              counts=(3, 0), markers=((0.1, "mean 0.1"),), detail="3 tokens"),
    Scatter(title=TEXT, about="speed", x_title="speed", detail="acc", x_scale=RATIO, y_scale=RATIO, one=1.0,
            missing=(HOSTILE,), points=(
                Point(variant=HOSTILE, decision="PASS", x=(1.0, 0.9, 1.1), y=(0.5, 0.4, 0.6), size=10, says="a"),
                Point(variant="b", decision=None, x=(2.0, None, None), y=(0.5, None, None), size=None, says="b"))),
    LineChart(title=TEXT, detail="drop", started=("2026-03-01T10:00",), breaks=(), shifts=(), neutral=0.0, scale=RATIO,
              points=((LinePoint(run=0, value=1.0, lower=0.9, upper=1.1, series=1, promoted=True, says=HOSTILE),),)),
)  # fmt: skip
CARD = Card(title=TEXT, decision="FAIL", word="FAIL", kind="8-bit", sentence=HOSTILE, pairs=((HOSTILE, HOSTILE),))
OUTCOME = Outcome(
    kind="gate", decision="FAIL", weight="block", name=HOSTILE, case=HOSTILE, reason=TEXT, line=TEXT, on_slice=True
)
FLIP = next(flip for flip in example().candidates[1].flips if flip.candidate_answer == HOSTILE)
BLOCKS: dict[str, Block] = {
    "headline": Headline(
        title="s", about="run r", tag=HOSTILE, decision="FAIL", word="FAIL", sentence=TEXT, note=HOSTILE, warning="part"
    ),
    "paragraph": Paragraph(TEXT),
    "strong paragraph": Paragraph(TEXT, strong=True),
    "lines": Lines(title=HOSTILE, lines=(Line(TEXT, label=HOSTILE),)),
    "notes": Lines(kind="note", lines=(Line(TEXT, label="note", about=("bf16",), annotation=HOSTILE),)),
    "quiet line": Lines(kind="quiet", lines=(Line(TEXT, label="why", annotation="why"),)),
    "steps": Lines(kind="steps", lines=(Line(TEXT),)),
    "table": Table(
        columns=(Column(HOSTILE, detail="d", label="l", kind="name"), Column("b", kind="sentence"), *numbers("n")),
        groups=(
            Group(((TEXT, badge("WAIVED"), Cell("1", small=HOSTILE, tags=(HOSTILE,), decision="FAIL")),), note=HOSTILE),
            Group((("x", "y", "z"),), heading=(Cell(HOSTILE), badge("PASS"))),
        ),
        title=HOSTILE,
        note=HOSTILE,
    ),
    "plain table": table(("a", *numbers("b")), (TEXT, "2")),
    "facts": Panels(panels=(Facts(TEXT, pairs=((HOSTILE, HOSTILE),)),)),
    "cards": Panels(panels=(CARD,)),
    **{type(chart).__name__: Panels(panels=(chart,), key=(("PASS", HOSTILE), (0, "a"))) for chart in CHARTS},
    "flips": Flips(baseline="fp32", variant="int8", flips=(FLIP.model_copy(update={"item": TEXT}),)),
    "outcomes": Outcomes(title=HOSTILE, outcomes=(OUTCOME,)),
    "footer": Footer(parts=((TEXT, HOSTILE), ("b", ""))),
    "fold": Fold(summary=TEXT, note=HOSTILE, blocks=(Paragraph(HOSTILE), table(("a",), (HOSTILE,))), open=True),
}


def as_html(block: Block) -> str:
    return html_drawn("t", [Section(name="x", title="x", blocks=(block,))])


def as_markdown(block: Block) -> str:
    return "\n".join(markdown.drawn(Section(blocks=(block,))))


def as_junit(block: Block) -> str:
    return junit.drawn(example(), [Section(title="x", blocks=(block,))])


def as_annotations(block: Block) -> str:
    return annotations_drawn([Section(title="x", blocks=(block,))])


def as_terminal(block: Block) -> str:
    out = io.StringIO()
    console = Console(file=out, width=400, color_system=None)
    terminal.draw(iter([Section(blocks=(block,))]), console, "terminal")
    return out.getvalue()


FORMATS: tuple[Callable[[Block], str], ...] = (as_html, as_markdown, as_junit, as_annotations, as_terminal)


@pytest.mark.parametrize("draw", FORMATS)
@pytest.mark.parametrize("name", BLOCKS)
def test_every_format_draws_every_block(name: str, draw: Callable[[Block], str]) -> None:
    """What a block says can be read, and nothing in it becomes markup, a control character or a CI's command."""
    text = draw(BLOCKS[name])
    assert SAID in html.unescape(text) or (name == "notes" and draw is as_terminal and SAID in text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", text)
    if draw is as_junit:
        ET.fromstring(text)
        return
    assert "<script" not in text or draw is as_terminal or draw is as_annotations
    for line in text.splitlines():
        command = line.strip().startswith("::")
        assert command == (draw is as_annotations) or draw is as_html
        assert "##[" not in line or draw is as_html


def test_every_kind_of_block_is_drawn_here() -> None:
    """A new block comes with its row in the table of this file."""
    kinds = {type(block) for block in BLOCKS.values()}
    assert kinds | {Facts} == set(get_args(Block))
    assert {type(chart) for chart in CHARTS} == set(get_args(Chart))


def test_what_is_left_out_is_the_best_of_the_slices() -> None:
    """Whole tasks stay, then the worst; what stays keeps its order."""
    order = telling([(True, "PASS"), (True, "FAIL"), (False, "PASS"), (True, "INCONCLUSIVE")])
    assert first("abcd", order, 2) == (("b", "c"), 2)
    assert first("abcd", order, 9) == (tuple("abcd"), 0)
