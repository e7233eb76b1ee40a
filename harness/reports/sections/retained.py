"""What is kept of the fine-tuning gain: a line a candidate, and on a page every metric with its levels."""

from __future__ import annotations

from harness.metrics.row import Likelihood
from harness.metrics.table import lookup
from harness.notation import Notation, level, percent, span
from harness.records.measures import Retained
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import wording
from harness.reports.blocks import (
    Block,
    Cell,
    Column,
    Group,
    Line,
    Lines,
    Paragraph,
    Row,
    Section,
    Table,
    numbers,
    titled,
)

COLUMNS = titled(
    "Metric",
    *numbers("Base", "Fine-tuned", "Candidate"),
    Column("Gained, interval", label="Gained", kind="number"),
    Column("Retained, interval", label="Retained", kind="number"),
    *numbers("Items"),
)


def section(verdict: Verdict) -> Section | None:
    """None where the suite names no model before fine-tuning."""
    if verdict.base is None:
        return None
    note, model = verdict.base.note, verdict.base.model
    over, why = f", over {model}" if model else "", f": undefined, {note}" if note else ""
    told = [(each.variant, _line(each)) for each in verdict.candidates if note is None]
    lines = tuple(Line(label=variant, text=text) for variant, text in told if text)
    blocks: list[Block] = [
        Paragraph(
            f"(candidate − base) / ({verdict.baseline} − base), item by item, against {model or 'the base model'}"
            ", the model before fine-tuning. 100 % keeps all that fine-tuning gained; where the gain itself is not "
            "shown to be above 0, the share is undefined. For perplexity it is the share of the fall in negative "
            "log-likelihood."
        )
    ]
    blocks += [Paragraph(f"Undefined: {note}", quiet=False)] if note else []
    groups = [
        Group(heading=(each.variant,), rows=tuple(_row(row, tagged=not note) for row in each.retained))
        for each in verdict.candidates
        if each.retained
    ]
    blocks += [Table(columns=COLUMNS, groups=tuple(groups))] if groups else []
    return Section(
        name="retained",
        title="Fine-tuning retained",
        link="Retained",
        blocks=tuple(blocks),
        short=(Lines(title=f"fine-tuning retained{over}{why}", lines=lines),),
    )


def _line(candidate: CandidateVerdict) -> str:
    """`intents acc 96.2 % (91.0 … 101.3 %), heldout perplexity 99.1 % (98.5 … 99.6 %)`; empty where nothing is known.

    The metrics a gate looks at, and of each other task the first.
    """
    gated = {(each.task, each.metric) for each in candidate.findings if wording.is_of_base(each)}
    seen: set[str | None] = {task for task, _ in gated}
    told = []
    for row in candidate.retained:
        if (row.task, row.metric) in gated or row.task not in seen:
            told.append(f"{row.task} {row.metric} {_share(row)}")
            seen.add(row.task)
    return "; ".join(told)


def _share(row: Retained) -> str:
    if row.retained is None:
        return f"undefined ({row.note})"
    few = f", {row.note}" if row.note else ""
    return f"{percent(row.retained)} ({_interval(row)}{few})"


def _interval(row: Retained) -> str:
    return Notation.PERCENT.span(row.lower, row.upper, row.unit)


def _row(row: Retained, *, tagged: bool) -> Row:
    retained: Cell | str = "undefined"
    if row.retained is not None:
        retained = Cell(percent(row.retained), small=_interval(row))
    return (
        Cell(f"{row.task} {row.metric}", tags=(row.note,) if row.note and tagged else ()),
        *(level(each, row.unit) for each in (row.base, row.fine_tuned, row.candidate)),
        Cell(_gain(row, row.gain), small=span(_gain(row, row.gain_lower), _gain(row, row.gain_upper))),
        retained,
        wording.counted(row.n, row.clusters),
    )


def _gain(row: Retained, value: float | None) -> str:
    """The gain or one of its bounds: points, nats per token, bits per byte, or the metric's own unit."""
    known = lookup(row.metric)
    likelihood = known.computed if known is not None and isinstance(known.computed, Likelihood) else None
    return Notation.POINTS.amount(value, row.unit if likelihood is None else likelihood.gain_unit)
