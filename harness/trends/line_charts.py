"""What the charts of a history show: for each figure its runs, a line per variant, breaks and shifts."""

from __future__ import annotations

from collections.abc import Mapping

from harness.metrics.table import lookup
from harness.reports.charts.lines import Event, LineChart, LinePoint
from harness.reports.wording import change_of
from harness.trends.build import History
from harness.trends.figure_rows import HistoryRow, Line, line_of
from harness.trends.phrases import bounds, meaning, shift_words, shown, title
from harness.trends.series import Shift


def charts(history: History) -> tuple[LineChart, ...]:
    """One chart per metric and task, in the order in which they first appear."""
    groups: dict[tuple[str, str], list[HistoryRow]] = {}
    for row in history.figures:
        if row.change is not None:
            groups.setdefault((row.task, row.metric), []).append(row)
    variants = variants_of(history)
    shifts = {(each.at_run, (each.variant, each.task, each.metric)): each for each in history.shifts}
    return tuple(_chart(group, variants, shifts) for group in groups.values())


def variants_of(history: History) -> tuple[str, ...]:
    """In the order of their first appearance, which gives their colours."""
    return tuple(dict.fromkeys(row.variant for row in history.figures))


def _run_name(row: HistoryRow) -> str:
    return f"{row.run} ({row.label})" if row.label else row.run


def _chart(rows: list[HistoryRow], variants: tuple[str, ...], shifts: Mapping[tuple[str, Line], Shift]) -> LineChart:
    first, known = rows[0], lookup(rows[0].metric)
    runs = list(dict.fromkeys((row.started_at, row.run) for row in rows))
    places = {run: place for place, run in enumerate(runs)}
    points: dict[str, list[LinePoint]] = {variant: [] for variant in variants}
    marked = []
    for row in rows:
        place = places[row.started_at, row.run]
        points[row.variant].append(_point(row, place))
        shift = shifts.get((row.run, line_of(row)))
        if shift is not None:
            text = f"{row.variant} at {_run_name(row)}: {shift_words(shift)}"
            variant = variants.index(row.variant)
            marked.append(Event(run=place, text=text, variant=variant, down=shift.after < shift.before))
    return LineChart(
        title=title(first),
        detail=meaning(first),
        started=tuple(started_at for started_at, _ in runs),
        points=tuple(map(tuple, points.values())),
        breaks=_breaks(rows, places),
        shifts=tuple(marked),
        neutral=known.neutral if known is not None else 0.0,
        scale=change_of(first.kind).scale(first.unit),
    )


def _point(row: HistoryRow, place: int) -> LinePoint:
    between = f" ({bounds(row)})" if row.lower is not None else ""
    gate = f", {row.decision}" if row.decision else ""
    promoted = ", promoted" if row.accepted else ""
    note = f", {row.note}" if row.note else ""
    return LinePoint(
        run=place,
        value=row.change or 0.0,
        lower=row.lower,
        upper=row.upper,
        series=row.series,
        promoted=row.accepted,
        says=f"{_run_name(row)}, {row.variant}: {shown(row, row.change)}{between}{gate}{promoted}{note}",
    )


def _breaks(rows: list[HistoryRow], places: Mapping[tuple[str, str], int]) -> tuple[Event, ...]:
    """Each run at which a new series begins, with the reasons of all variants; a return to an earlier one is none."""
    found: dict[tuple[str, str], list[HistoryRow]] = {}
    for row in rows:
        if row.series_event is not None and row.series_event.event == "new":
            found.setdefault((row.started_at, row.run), []).append(row)
    reasons = {run: "; ".join(dict.fromkeys(row.series_reason for row in each)) for run, each in found.items()}
    return tuple(Event(run=places[run], text=f"{_run_name(found[run][0])}: {reasons[run]}") for run in found)
