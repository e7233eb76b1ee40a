"""Where a change sits: every metric by slice, and which slices moved (exploratory, decides nothing).

The verdict holds every slice; a report says how many it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.notation import DASH, level, significant
from harness.records.measures import Measure, MovedSlice, SliceMeasure
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import wording
from harness.reports.blocks import Block, Fold, Paragraph, Row, Section, first, numbers, table, titled

SHOWN, MOVED_SHOWN, MOVED_SHORT, MOVED_TOLD = 60, 25, 10, 3
"""Slices of a metric; of those that moved on a page, in Markdown and in a line."""


MOVED_COLUMNS = titled("Slice", "Task", *numbers("Change", "Bounds", "Items", "p", "q"))
SHORT_COLUMNS = titled("task", "slice", *numbers("change", "bounds", "items", "q"))
COLUMNS = titled("Slice", *numbers("Baseline", "Candidate", "Change", "Bounds", "Items", "Certifies", "q"))


def section(verdict: Verdict) -> Section | None:
    """None where no task has slices; in short only what moved."""
    sliced = [(c, m) for c in verdict.candidates for m in c.measures if m.slices]
    moved = [candidate for candidate in verdict.candidates if candidate.exploratory is not None]
    blocks: list[Block] = [
        Paragraph(
            "Where the change sits. Slices are small: read the bounds, not the values. “Certifies” is the "
            "smallest drop that so many items can show to be safe, at 80 % power and the share of flips seen."
        )
    ]
    blocks += [_moved(candidate, is_open=len(moved) <= 2) for candidate in moved]
    blocks += [_slices(candidate, measure, is_open=len(sliced) == 1) for candidate, measure in sliced]
    page = tuple(blocks) if sliced else ()
    short = tuple(fold for candidate in moved for fold in _short(candidate))
    return Section(name="slices", title="Slices", blocks=page, short=short) if page or short else None


def _moved(candidate: CandidateVerdict, *, is_open: bool) -> Block:
    found = candidate.exploratory
    assert found is not None
    if not found.moved:
        text = f"of {found.slices:,} changes on slices none is significant (q at most {found.level})."
        return Paragraph(f"{candidate.variant}: {text}")
    rows = tuple(
        (wording.slice_name(each.slice), each.task, *_figures(each, each.p, each.q))
        for each in found.moved[:MOVED_SHOWN]
    )
    more = len(found.moved) - MOVED_SHOWN
    left_out = [Paragraph(f"{more:,} more in verdict.json.")] if more > 0 else []
    return Fold(
        summary=f"{candidate.variant} · which slices moved",
        note=f"{len(found.moved):,} of {found.slices:,}, q at most {found.level}; exploratory, decides nothing",
        blocks=(table(MOVED_COLUMNS, *rows), *left_out),
        open=is_open,
    )


def _short(candidate: CandidateVerdict) -> Iterator[Fold]:
    found = candidate.exploratory
    if found is None or not found.moved:
        return
    rows = tuple(
        (each.task, wording.slice_name(each.slice), *_figures(each, each.q)) for each in found.moved[:MOVED_SHORT]
    )
    more = len(found.moved) - MOVED_SHORT
    left_out = [Paragraph(f"and {more:,} more")] if more > 0 else []
    yield Fold(
        summary=f"{candidate.variant}: {len(found.moved):,} of {found.slices:,} slices moved (exploratory)",
        blocks=(table(SHORT_COLUMNS, *rows), *left_out),
        subject=candidate.variant,
    )


def _figures(moved: MovedSlice, *shares: float) -> Row:
    between = wording.change_of(moved.kind).span(moved.lower, moved.upper, moved.unit)
    return (moved_change(moved), between, f"{moved.n:,}", *(significant(share) for share in shares))


def moved_change(moved: MovedSlice) -> str:
    """`drop 6.00 pp`, `perplexity up 4.20 %`: the change in words."""
    amount = wording.change_of(moved.kind).amount(abs(moved.change), moved.unit)
    if moved.kind == "perplexity":
        return f"{moved.metric.replace('_', ' ')} {'up' if moved.change >= 0 else 'down'} {amount}"
    return f"{moved.metric} {'drop' if moved.change >= 0 else 'gain'} {amount}"


def moved_words(candidate: CandidateVerdict) -> str:
    """The slices that moved, in one line; empty where none did."""
    if candidate.exploratory is None or not candidate.exploratory.moved:
        return ""
    moved = candidate.exploratory.moved
    parts = [
        f"{each.task} {wording.slice_name(each.slice)} {moved_change(each)} (q {significant(each.q)})"
        for each in moved[:MOVED_TOLD]
    ]
    more = f", and {len(moved) - MOVED_TOLD:,} more" if len(moved) > MOVED_TOLD else ""
    return f"of {candidate.exploratory.slices:,} slices these moved: {', '.join(parts)}{more}"


def kept_slices(measure: Measure, most: int) -> tuple[tuple[SliceMeasure, ...], int]:
    """At most so many in their order, and how many are left out: those that moved least are dropped first."""
    order = [(2.0 if row.q is None else row.q, -abs(row.change or 0.0)) for row in measure.slices]
    return first(measure.slices, order, most)


def _slices(candidate: CandidateVerdict, measure: Measure, *, is_open: bool) -> Fold:
    shown, more = kept_slices(measure, SHOWN)
    figures = table(COLUMNS, *(_row(measure, row) for row in shown))
    told = f"{more:,} slices that moved less are not shown; verdict.json has them all."
    return Fold(
        summary=f"{candidate.variant} · {measure.task} {measure.metric}",
        note=f"{len(measure.slices)} slices",
        blocks=(figures, Paragraph(told)) if more else (figures,),
        open=is_open,
    )


def _row(measure: Measure, row: SliceMeasure) -> Row:
    return (
        wording.slice_name(row.slice),
        level(row.baseline, measure.unit),
        level(row.candidate, measure.unit),
        wording.change(measure, row.change),
        wording.change_of(measure.kind).span(row.lower, row.upper, measure.unit),
        f"{row.n:,}",
        wording.change(measure, row.certifies),
        (DASH if row.q is None else significant(row.q)),
    )
