"""Speed and memory of each variant beside the baseline."""

from __future__ import annotations

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
MEMORY = (
    ("weight_bytes", "Weights, resident", "Resident"),
    ("disk_bytes", "Weights, on disk", "On disk"),
    ("process_peak_load_bytes", "Process peak, load", "Peak, load"),
    ("process_peak_inference_bytes", "Process peak, inference", "Peak, infer."),
    ("allocator_peak_allocated_bytes", "GPU allocated", "GPU alloc."),
    ("allocator_peak_reserved_bytes", "GPU reserved", "GPU reserv."),
    ("device_process_peak_bytes", "VRAM by driver", "VRAM"),
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
    columns = [Column(title, label=label, kind="number") for _, title, label in MEMORY]
    rows = tuple((name, *_bytes(memory)) for name, memory in measured)
    return Paragraph(f"Bytes of one fresh process each{at}."), table(("Variant", *columns), *rows)


def _bytes(memory: MemoryFigures | None) -> Row:
    amounts = [None if memory is None else getattr(memory, field) for field, _, _ in MEMORY]
    return tuple((NONE if amount is None else byte_size(amount)) for amount in amounts)
