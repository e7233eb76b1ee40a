"""Slices in reports: names cut short, long lists cut to what matters most, and the list of slices that moved.

The verdict holds every slice; a report says how many it leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from harness.notation import WORST_FIRST, significant
from harness.records.findings import Finding
from harness.records.measures import Measure, MovedSlice, SliceMeasure
from harness.records.verdict import CandidateVerdict
from harness.reports import figures

T = TypeVar("T")


def telling(findings: Sequence[Finding], most: int) -> tuple[tuple[Finding, ...], int]:
    """At most so many findings in their order, and how many are left out: first go slices, and of them what passed."""
    order = [(finding.slice is not None, WORST_FIRST.index(finding.decision)) for finding in findings]
    return _first(findings, order, most)


def rows(measure: Measure, most: int) -> tuple[tuple[SliceMeasure, ...], int]:
    """At most so many slices of a measure in their order, and how many are left out: what moved least goes first."""
    order = [(2.0 if row.q is None else row.q, -abs(row.change or 0.0)) for row in measure.slices]
    return _first(measure.slices, order, most)


def _first(values: Sequence[T], order: Sequence[tuple[float, float]], most: int) -> tuple[tuple[T, ...], int]:
    kept = sorted(sorted(range(len(values)), key=lambda place: order[place])[:most])
    return tuple(values[place] for place in kept), len(values) - len(kept)


def moved_change(moved: MovedSlice) -> str:
    """`drop 6.00 pp`, `perplexity up 4.20 %`: the change in words."""
    amount = figures.of_kind(moved.kind).amount(abs(moved.change), moved.unit)
    if moved.kind == "perplexity":
        return f"{moved.metric.replace('_', ' ')} {'up' if moved.change >= 0 else 'down'} {amount}"
    return f"{moved.metric} {'drop' if moved.change >= 0 else 'gain'} {amount}"


def moved_interval(moved: MovedSlice) -> str:
    """Bounds of the change."""
    return figures.of_kind(moved.kind).span(moved.lower, moved.upper, moved.unit)


def moved_words(candidate: CandidateVerdict, most: int) -> str:
    """The slices that moved, in one line; empty where none did."""
    if candidate.exploratory is None or not candidate.exploratory.moved:
        return ""
    moved = candidate.exploratory.moved
    parts = [
        f"{each.task} {figures.slice_name(each.slice)} {moved_change(each)} (q {significant(each.q)})"
        for each in moved[:most]
    ]
    more = f", and {len(moved) - most:,} more" if len(moved) > most else ""
    return f"of {candidate.exploratory.slices:,} slices these moved: {', '.join(parts)}{more}"
