"""Line charts of a figure over runs: a line per variant, its bounds as bars, promoted versions ringed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.history.rows import HistoryRow
from harness.report import figures
from harness.report.html.axes import Axis, around, tick_text

HEIGHT_PX, TOP_PX, BOTTOM_PX = 210, 14, 30
APART = 1.2
"""Percent between the variants of one run, so that bars do not hide each other."""
COLOURS = 6
"""Variants beyond these share colours; their names stand beside the lines' keys."""


@dataclass(frozen=True, kw_only=True)
class Dot:
    """One run of one variant: percent across, pixels down; `joined`: where the line comes from."""

    x: float
    y: float
    top: float | None
    bottom: float | None
    accepted: bool
    joined_x: float | None
    joined_y: float | None
    says: str


@dataclass(frozen=True, kw_only=True)
class Line:
    variant: str
    colour: int
    dots: tuple[Dot, ...]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A tick: where (percent or pixels) and what it says."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    title: str
    detail: str
    lines: tuple[Line, ...]
    y_ticks: tuple[Mark, ...]
    x_ticks: tuple[Mark, ...]
    none_at: float
    height: int


def charts(rows: Sequence[HistoryRow]) -> tuple[Chart, ...]:
    """One chart per metric and task, in the order in which they first appear."""
    groups: dict[tuple[str, str], list[HistoryRow]] = {}
    for row in rows:
        if row.change is not None:
            groups.setdefault((row.task, row.metric), []).append(row)
    variants = tuple(dict.fromkeys(row.variant for row in rows))
    return tuple(_chart(group, variants) for group in groups.values())


def shown(row: HistoryRow, value: float | None) -> str:
    """A change or a bound of this row in words."""
    return figures.in_form(value, _form(row), row.unit)


def bounds(row: HistoryRow) -> str:
    """Both bounds of the row's change in words."""
    return figures.between(row.lower, row.upper, _form(row), row.unit)


def _form(row: HistoryRow) -> str:
    forms = {"speed": "min_ratio", "perplexity": "max_increase", "divergence": "max"}
    return forms.get(row.kind, "max_drop")


def _chart(rows: list[HistoryRow], variants: tuple[str, ...]) -> Chart:
    first = rows[0]
    runs = list(dict.fromkeys((row.started_at, row.run) for row in rows))
    across = {run: 6 + 90 * (index + 0.5) / len(runs) for index, run in enumerate(runs)}
    nothing = 1.0 if first.kind == "speed" or first.metric == "top1_agreement" else 0.0
    up = around([nothing, *(bound for row in rows for bound in (row.change, row.lower, row.upper))])
    percent = first.kind == "perplexity" or (first.unit == "fraction" and first.kind != "speed")
    scaled = around([100 * up.low, 100 * up.high], margin=0) if percent else up
    suffix = {"speed": " ×", "perplexity": " %", "divergence": " %" if percent else ""}.get(
        first.kind, " pp" if percent else ""
    )
    detail = {
        "speed": "ratio to the baseline",
        "perplexity": "rise over the baseline",
        "divergence": f"{first.unit} from the baseline",
    }.get(first.kind, "drop from the baseline; up is worse")
    return Chart(
        title=f"{first.task} {first.metric}",
        detail=detail,
        lines=tuple(
            Line(
                variant=variant,
                colour=index % COLOURS,
                dots=_dots(
                    [row for row in rows if row.variant == variant],
                    {run: x + APART * (index - (len(variants) - 1) / 2) for run, x in across.items()},
                    up,
                ),
            )
            for index, variant in enumerate(variants)
            if any(row.variant == variant for row in rows)
        ),
        y_ticks=tuple(Mark(at=_height(scaled, tick), text=tick_text(tick) + suffix) for tick in scaled.ticks(5)),
        x_ticks=_dates(runs, across),
        none_at=_height(up, nothing),
        height=HEIGHT_PX,
    )


def _dots(rows: list[HistoryRow], across: dict[tuple[str, str], float], up: Axis) -> tuple[Dot, ...]:
    """Dots in time; a speed line breaks where the host changes."""
    dots: list[Dot] = []
    before: HistoryRow | None = None
    for row in rows:
        if row.change is None:
            continue
        joined = before is not None and (row.kind != "speed" or before.host == row.host)
        dots.append(
            Dot(
                x=across[row.started_at, row.run],
                y=_height(up, row.change),
                top=None if row.upper is None else _height(up, row.upper),
                bottom=None if row.lower is None else _height(up, row.lower),
                accepted=row.accepted,
                joined_x=dots[-1].x if joined else None,
                joined_y=dots[-1].y if joined else None,
                says=f"{row.run}, {row.variant}: {shown(row, row.change)}"
                + (f" ({bounds(row)})" if row.lower is not None else "")
                + (", promoted" if row.accepted else ""),
            )
        )
        before = row
    return tuple(dots)


def _dates(runs: list[tuple[str, str]], across: dict[tuple[str, str], float]) -> tuple[Mark, ...]:
    """At most six dates; of more, four with the first and the last among them."""
    last = len(runs) - 1
    chosen = runs if last < 6 else [runs[round(index * last / 3)] for index in range(4)]
    return tuple(Mark(at=across[run], text=run[0][5:10]) for run in chosen)


def _height(axis: Axis, value: float) -> float:
    share = (value - axis.low) / (axis.high - axis.low)
    return TOP_PX + (1 - share) * (HEIGHT_PX - TOP_PX - BOTTOM_PX)
