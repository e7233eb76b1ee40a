"""Every measure of every candidate beside the baseline, without a judgement: what `quantgate compare` prints."""

from __future__ import annotations

from collections.abc import Iterator

from harness.notation import level, shortened
from harness.records.measures import Measure
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import wording
from harness.reports.blocks import Block, Column, Group, Line, Lines, Row, Section, Table, cells
from harness.reports.sections import cost

NAMES = ("task", "metric")
FIGURES = ("baseline", "candidate", "change", "bounds", "n", "worse/better")
KEPT = 3
"""Of the figures, where there is no room."""
MEASURES = (
    *(Column(title, kind="name") for title in NAMES),
    *(Column(title, kind="number", rank=max(0, place - KEPT + 1)) for place, title in enumerate(FIGURES)),
)
SPEED = tuple(
    Column(title, kind="text" if title in ("workload", "metric") else "number")
    for title in ("workload", "metric", "baseline", "candidate", "ratio", "bounds")
)


def section(verdict: Verdict) -> Section:
    """Candidate by candidate."""
    return Section(blocks=tuple(block for each in verdict.candidates for block in _blocks(verdict, each)))


def _blocks(verdict: Verdict, candidate: CandidateVerdict) -> Iterator[Block]:
    title = f"{_name(candidate.variant)} against {_name(verdict.baseline)}"
    totals = ", ".join(f"{_name(task)} {total}" for task, total in candidate.flips_total.items())
    flips = f"flips: {totals}" if totals else ""
    if not candidate.measures and not candidate.speed:
        yield Lines(title=title, lines=tuple(Line(text) for text in (flips, candidate.sentence) if text))
    if candidate.measures:
        groups = (Group(tuple(map(_row, candidate.measures))),)
        yield Table(title=title, columns=MEASURES, groups=groups, note="" if candidate.speed else flips)
    if candidate.speed:
        rows = [cells(cost.row(candidate.variant, each))[1:-1] for each in candidate.speed]
        groups = (Group(tuple(tuple(cell.text for cell in row) for row in rows)),)
        yield Table(title="" if candidate.measures else title, columns=SPEED, groups=groups, note=flips)


def _name(text: str) -> str:
    return shortened(text, 24)


def _row(measure: Measure) -> Row:
    flips = measure.right_to_wrong
    texts = (
        measure.task,
        measure.metric,
        level(measure.baseline, measure.unit),
        level(measure.candidate, measure.unit),
        "" if measure.kind == "divergence" else wording.change(measure, measure.change),
        wording.change_interval(measure),
        f"{measure.n:,}",
        "" if flips is None else f"{flips}/{measure.wrong_to_right}",
    )
    return tuple(text for text in texts)
