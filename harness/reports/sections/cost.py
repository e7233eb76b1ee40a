"""Speed and memory of each variant beside the baseline."""

from __future__ import annotations

from collections.abc import Sequence

from harness.metrics.memory import LOAD_PEAK
from harness.metrics.row import StoredBytes
from harness.metrics.table import computed_by
from harness.notation import NONE, Notation, byte_size, level
from harness.records.measures import SpeedRow
from harness.records.timings import MemoryFigures
from harness.records.verdict import Verdict
from harness.reports import wording
from harness.reports.blocks import Block, Cell, Column, Group, Paragraph, Row, Section, Table, numbers, table, titled

SPEED = titled(
    "Variant",
    Column("Workload", kind="unbroken"),
    "Metric",
    *numbers("Baseline", "Candidate", "Ratio", "Bounds", "Pairs"),
)


def section(verdict: Verdict) -> Section:
    """Says of each whether it was measured."""
    return Section(name="cost", title="Speed and memory", blocks=(*_speed(verdict), *_memory(verdict)))


def _speed(verdict: Verdict) -> tuple[Block, ...]:
    groups = [Group(tuple(row(c.variant, each) for each in c.speed)) for c in verdict.candidates if c.speed]
    if not groups:
        return (Paragraph("Speed was not measured in this run."),)
    about = "Medians of both sides and the paired ratio, candidate to baseline. Workloads are batch × prompt + new "
    return Paragraph(f"{about}tokens."), Table(columns=SPEED, groups=tuple(groups))


def row(variant: str, row: SpeedRow) -> Row:
    return (
        variant,
        row.workload,
        Cell(row.metric, tags=(row.note,) if row.note else ()),
        level(row.baseline, row.unit),
        level(row.candidate, row.unit),
        Notation.RATIO.amount(row.ratio, row.unit),
        Notation.RATIO.span(row.lower, row.upper, row.unit),
        str(row.pairs),
    )


def _memory(verdict: Verdict) -> tuple[Block, ...]:
    measured = [
        (name, verdict.baseline_memory if candidate is None else candidate.memory)
        for name, candidate in wording.sides(verdict)
    ]
    known = [memory for _, memory in measured if memory is not None]
    if not known:
        return (Paragraph("Memory was not measured in this run."),)
    workload = next((memory.workload for memory in known if memory.workload), None)
    at = f"; inference figures at {workload}" if workload else ""
    figures = _figures()
    columns = [Column(each.title or each.field, label=each.label, kind="number") for each in figures]
    rows = tuple((name, *_bytes(memory, figures)) for name, memory in measured)
    return Paragraph(f"Bytes of one fresh process each{at}."), table(("Variant", *columns), *rows)


def _figures() -> tuple[StoredBytes, ...]:
    """What loading tells, the peak while it loads, and the rest."""
    found = computed_by(StoredBytes).values()
    return (*(each for each in found if each.at_load), LOAD_PEAK, *(each for each in found if not each.at_load))


def _bytes(memory: MemoryFigures | None, figures: Sequence[StoredBytes]) -> Row:
    amounts = [None if memory is None else getattr(memory, each.field) for each in figures]
    return tuple((NONE if amount is None else byte_size(amount)) for amount in amounts)
