"""What is kept of the fine-tuning gain, in lines: shared by the terminal and Markdown. Formats, computes nothing."""

from __future__ import annotations

from harness.metrics.row import Likelihood
from harness.metrics.table import lookup
from harness.notation import Notation, percent, span
from harness.records.measures import Retained
from harness.records.verdict import CandidateVerdict, Verdict


def heading(verdict: Verdict) -> str | None:
    """`fine-tuning retained, over ./base`, with why not where nothing is; None where the suite names no base."""
    if verdict.base is None:
        return None
    over = f", over {verdict.base.model}" if verdict.base.model else ""
    return f"fine-tuning retained{over}" + (f": undefined, {verdict.base.note}" if verdict.base.note else "")


def line(candidate: CandidateVerdict) -> str | None:
    """`intents acc 96.2 % (91.0 … 101.3 %), heldout perplexity 99.1 % (98.5 … 99.6 %)`; None where nothing is known."""
    told = [f"{row.task} {row.metric} {_share(row)}" for row in chosen(candidate)]
    return "; ".join(told) or None


def chosen(candidate: CandidateVerdict) -> tuple[Retained, ...]:
    """The metrics a gate looks at, and of each other task the first."""
    gated = {(each.task, each.metric) for each in candidate.findings if each.form == "min_retained"}
    seen = {task for task, _ in gated}
    rows = []
    for row in candidate.retained:
        if (row.task, row.metric) in gated or row.task not in seen:
            rows.append(row)
            seen.add(row.task)
    return tuple(rows)


def _share(row: Retained) -> str:
    if row.retained is None:
        return f"undefined ({row.note})"
    interval = Notation.PERCENT.span(row.lower, row.upper, row.unit)
    few = f", {row.note}" if row.note else ""
    return f"{percent(row.retained)} ({interval}{few})"


def gain_interval(row: Retained) -> str:
    """Bounds of the gain, their unit written once."""
    return span(gain(row, row.gain_lower), gain(row, row.gain_upper))


def gain(row: Retained, value: float | None) -> str:
    """The gain or one of its bounds: points, nats per token, bits per byte, or the metric's own unit."""
    known = lookup(row.metric)
    likelihood = known.computed if known is not None and isinstance(known.computed, Likelihood) else None
    return Notation.POINTS.amount(value, row.unit if likelihood is None else likelihood.gain_unit)
