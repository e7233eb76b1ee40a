"""Groups rows into series, and finds shifts of level in them. A shift changes no verdict and no exit code."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Literal

from harness.trends.comparable import Measured, agree, differences, joined
from harness.trends.figure_rows import HistoryRow, Line, SeriesEvent, line_of


@dataclass(frozen=True, kw_only=True)
class Shift:
    """A figure of a variant that went to another level between two runs of a series.

    `before`, `after`: mean over the runs between shifts, in the row's terms (geometric for speed and memory).
    """

    variant: str
    task: str
    metric: str
    kind: str
    unit: str
    series: int
    after_run: str
    """The last run on the old level."""
    at_run: str
    """The first run on the new level."""
    before: float
    after: float
    size: float
    """`after - before`; for speed and memory `after / before`."""
    lower: float
    upper: float
    """About 90 % of what the size may be; approximate, since the place was chosen by looking."""
    worse: bool
    runs_before: int
    runs_after: int
    model_changed: bool
    """The baseline's weights differ from this run on: another fine-tune."""


@dataclass(kw_only=True)
class _Known:
    """The series of one figure so far, in order of appearance, and which one the last run was in."""

    conditions: list[Measured] = field(default_factory=list)
    last: int = -1

    def place(self, row: HistoryRow, measured: Measured) -> HistoryRow:
        """The row in its series; a new one where a condition differs, an earlier one where they match again."""
        order = [self.last, *reversed(range(len(self.conditions)))] if self.conditions else []
        found = next((index for index in order if agree(measured, self.conditions[index])), None)
        event = None
        if found is None:
            if self.conditions:
                event = self._event("new", len(self.conditions), measured)
            self.conditions.append(measured)
            found = len(self.conditions) - 1
        elif found != self.last:
            event = self._event("back", found, measured)
        self.conditions[found] = joined(self.conditions[found], measured)
        self.last = found
        return replace(row, series=found + 1, series_event=event)

    def _event(self, event: Literal["new", "back"], place: int, measured: Measured) -> SeriesEvent:
        return SeriesEvent(event=event, series=place + 1, changes=differences(self.conditions[self.last], measured))


def in_series(rows: Iterable[tuple[HistoryRow, Measured]]) -> list[HistoryRow]:
    """Rows, oldest run first, each with its series. A row that says why stays outside."""
    known: dict[Line, _Known] = {}
    return [
        row
        if row.outside is not None or row.change is None
        else known.setdefault(line_of(row), _Known()).place(row, measured)
        for row, measured in rows
    ]


def shifts_of(rows: Sequence[HistoryRow]) -> tuple[Shift, ...]:
    """The shifts of level in every series, in the order of the lines."""
    from harness.stats.shifts import FEW_RUNS

    series: dict[tuple[Line, int], list[HistoryRow]] = {}
    for row in rows:
        if row.series is not None:
            series.setdefault((line_of(row), row.series), []).append(row)
    return tuple(shift for each in series.values() if len(each) >= FEW_RUNS for shift in _shifts(each))


def marked(rows: Sequence[HistoryRow], shifts: Iterable[Shift]) -> tuple[HistoryRow, ...]:
    """The rows with the size of the shift that begins at them."""
    sizes: Mapping[tuple[str, Line], float] = {
        (each.at_run, (each.variant, each.task, each.metric)): each.size for each in shifts
    }
    return tuple(
        replace(row, shift=sizes[row.run, line_of(row)]) if (row.run, line_of(row)) in sizes else row for row in rows
    )


def _shifts(rows: list[HistoryRow]) -> list[Shift]:
    """Of one series. Runs without bounds are left out where others have them: their error is not known."""
    from harness.stats.shifts import level_shifts

    ratio = rows[0].kind in ("speed", "memory")
    usable = [row for row in rows if row.change is not None and (not ratio or row.change > 0)]
    errors = [_error(row, ratio=ratio) for row in usable]
    some = [error is not None for error in errors]
    if any(some):
        usable = [row for row, has in zip(usable, some, strict=True) if has]
    values = [math.log(row.change or 1) if ratio else float(row.change or 0) for row in usable]
    known = [error for error in errors if error is not None]
    z = NormalDist().inv_cdf(0.95)
    found = []
    for shift in level_shifts(values, known or None):
        before, at = usable[shift.at - 1], usable[shift.at]
        out = math.exp if ratio else float
        found.append(
            Shift(
                variant=at.variant,
                task=at.task,
                metric=at.metric,
                kind=at.kind,
                unit=at.unit,
                series=at.series or 0,
                after_run=before.run,
                at_run=at.run,
                before=out(shift.before),
                after=out(shift.after),
                size=out(shift.size),
                lower=out(shift.size - z * shift.error),
                upper=out(shift.size + z * shift.error),
                worse=shift.size * at.worse > 0,
                runs_before=shift.runs_before,
                runs_after=shift.runs_after,
                model_changed=before.model != at.model,
            )
        )
    return found


def _error(row: HistoryRow, *, ratio: bool) -> float | None:
    """The standard error that a row's bounds stand for; of the logarithm for ratios."""
    if row.lower is None or row.upper is None or (ratio and row.lower <= 0):
        return None
    width = math.log(row.upper / row.lower) if ratio else row.upper - row.lower
    return max(width, 0.0) / (2 * NormalDist().inv_cdf(1 - row.alpha))
