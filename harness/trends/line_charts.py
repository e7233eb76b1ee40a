"""Line charts of a figure over runs: a line per variant and series, bounds as bars, marks of shifts and breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.metrics.table import lookup
from harness.reports import figures
from harness.reports.html.axes import Axis, around, tick_text
from harness.trends.build import History
from harness.trends.figure_rows import HistoryRow, Line, line_of
from harness.trends.phrases import bounds, meaning, shift_words, shown, title
from harness.trends.series import Shift

HEIGHT_PX, TOP_PX, BOTTOM_PX = 216, 24, 30
APART = 1.2
"""Percent between the variants of one run at most, so that bars do not hide each other."""
COLOURS = 6
"""Variants beyond these share colours; their names stand beside the lines' keys."""
TOLD_RUNS = 60
"""With more runs than this the dots of a chart carry no text of their own, which would make the page heavy."""
BREAKS_LISTED = 6
Run = tuple[str, str]
"""When it was started, and its id."""


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One run of one variant: percent across, pixels down."""

    x: float
    y: float
    outside: bool
    """In no series: drawn hollow."""
    accepted: bool
    says: str


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One variant's line. Paths have their own units: a tenth of a percent across, pixels down."""

    variant: str
    colour: int
    dots: tuple[Dot, ...]
    path: str
    """Joins the runs of each series."""
    bars: str
    """From bound to bound."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A tick, a break or a shift: where (percent or pixels) and what it says."""

    at: float
    text: str
    colour: int = 0
    number: int = 0
    y: float = 0.0
    """Shifts: pixels down; several at one run stand below each other."""
    down: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    title: str
    detail: str
    lines: tuple[Drawn, ...]
    y_ticks: tuple[Mark, ...]
    x_ticks: tuple[Mark, ...]
    breaks: tuple[Mark, ...]
    """Where a new series begins, each place once."""
    breaks_left_out: int
    """Of those said below the chart; all are drawn."""
    shifts: tuple[Mark, ...]
    none_at: float
    height: int
    radius: float
    told: bool
    """Each dot carries its text."""
    summary: str


def charts(history: History) -> tuple[Chart, ...]:
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


def run_name(row: HistoryRow) -> str:
    """The run with its label."""
    return f"{row.run} ({row.label})" if row.label else row.run


def _chart(rows: list[HistoryRow], variants: tuple[str, ...], shifts: Mapping[tuple[str, Line], Shift]) -> Chart:
    first = rows[0]
    runs = list(dict.fromkeys((row.started_at, row.run) for row in rows))
    step = 90 / len(runs)
    across = {run: 6 + step * (index + 0.5) for index, run in enumerate(runs)}
    apart = min(APART, 0.8 * step / len(variants))
    known = lookup(first.metric)
    nothing = known.neutral if known is not None else 0.0
    up = around([nothing, *(bound for row in rows for bound in (row.change, row.lower, row.upper))])
    own = {variant: [row for row in rows if row.variant == variant] for variant in variants}
    breaks = _breaks(rows, across, step)
    listed = breaks[-BREAKS_LISTED:]
    return Chart(
        title=title(first),
        detail=meaning(first),
        lines=tuple(
            _drawn(own[variant], index, across, apart * (index - (len(variants) - 1) / 2), up)
            for index, variant in enumerate(variants)
            if own[variant]
        ),
        y_ticks=_y_ticks(first, up),
        x_ticks=_dates(runs, across),
        breaks=breaks,
        breaks_left_out=len(breaks) - len(listed),
        shifts=_shifts(rows, variants, across, shifts),
        none_at=_height(up, nothing),
        height=HEIGHT_PX,
        radius=4.5 if len(runs) <= 30 else 3.0 if len(runs) <= TOLD_RUNS else 1.8,
        told=len(runs) <= TOLD_RUNS,
        summary=f"{len(runs)} runs from {runs[0][0][:10]} to {runs[-1][0][:10]}",
    )


def _drawn(rows: list[HistoryRow], index: int, across: Mapping[Run, float], aside: float, up: Axis) -> Drawn:
    dots, path, bars = [], [], []
    series: dict[int, list[str]] = {}
    for row in rows:
        assert row.change is not None
        x, y = across[row.started_at, row.run] + aside, _height(up, row.change)
        place = f"{10 * x:.1f} {y:.1f}"
        if row.series is not None:
            series.setdefault(row.series, []).append(place)
        if row.lower is not None and row.upper is not None:
            bars.append(f"M{10 * x:.1f} {_height(up, row.upper):.1f}V{_height(up, row.lower):.1f}")
        dots.append(Dot(x=x, y=y, outside=row.series is None, accepted=row.accepted, says=_says(row)))
    path = ["M" + "L".join(places) for places in series.values()]
    return Drawn(
        variant=rows[0].variant,
        colour=index % COLOURS,
        dots=tuple(dots),
        path="".join(path),
        bars="".join(bars),
    )


def _says(row: HistoryRow) -> str:
    between = f" ({bounds(row)})" if row.lower is not None else ""
    gate = f", {row.decision}" if row.decision else ""
    promoted = ", promoted" if row.accepted else ""
    note = f", {row.note}" if row.note else ""
    return f"{run_name(row)}, {row.variant}: {shown(row, row.change)}{between}{gate}{promoted}{note}"


def _breaks(rows: list[HistoryRow], across: Mapping[Run, float], step: float) -> tuple[Mark, ...]:
    """Each run at which a new series begins, with the reasons of all variants; a return to an earlier one is none."""
    found: dict[Run, list[HistoryRow]] = {}
    for row in rows:
        if row.series_reason and not row.series_reason.startswith("back"):
            found.setdefault((row.started_at, row.run), []).append(row)
    return tuple(
        Mark(
            at=across[run] - step / 2,
            text=f"{run_name(each[0])}: {'; '.join(dict.fromkeys(row.series_reason for row in each))}",
            number=number,
        )
        for number, (run, each) in enumerate(found.items(), start=1)
    )


def _shifts(
    rows: list[HistoryRow],
    variants: tuple[str, ...],
    across: Mapping[Run, float],
    shifts: Mapping[tuple[str, Line], Shift],
) -> tuple[Mark, ...]:
    found: list[Mark] = []
    at_run: dict[str, int] = {}
    for row in rows:
        shift = shifts.get((row.run, line_of(row)))
        if shift is None:
            continue
        before = at_run.get(row.run, 0)
        at_run[row.run] = before + 1
        found.append(
            Mark(
                at=across[row.started_at, row.run],
                y=10.0 + 11.0 * before,
                text=f"{row.variant} at {run_name(row)}: {shift_words(shift)}",
                colour=variants.index(row.variant) % COLOURS,
                number=len(found) + 1,
                down=shift.after < shift.before,
            )
        )
    return tuple(found)


def _y_ticks(first: HistoryRow, up: Axis) -> tuple[Mark, ...]:
    factor, suffix = figures.of_kind(first.kind).scale(first.unit)
    scaled = around([factor * up.low, factor * up.high], margin=0)
    return tuple(Mark(at=_height(scaled, tick), text=tick_text(tick) + suffix) for tick in scaled.ticks(5))


def _dates(runs: Sequence[Run], across: Mapping[Run, float]) -> tuple[Mark, ...]:
    """At most six dates; of more, four with the first and the last among them. Times where all is of one day."""
    last = len(runs) - 1
    chosen = runs if last < 6 else [runs[round(index * last / 3)] for index in range(4)]
    day = len({run[0][:10] for run in runs}) == 1 and len(runs) > 1
    return tuple(Mark(at=across[run], text=run[0][11:16] if day else run[0][5:10]) for run in chosen)


def _height(axis: Axis, value: float) -> float:
    share = (value - axis.low) / (axis.high - axis.low)
    return TOP_PX + (1 - share) * (HEIGHT_PX - TOP_PX - BOTTOM_PX)
