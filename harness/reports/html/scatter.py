"""Quality against speed, memory as the area of the mark: what quantization buys and what it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from harness.notation import NONE, Notation, byte_size, level, ratio
from harness.records.findings import Decision
from harness.records.measures import Measure, SpeedRow
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports.headline import bytes_of, measure_of, quality_keys, speed_row
from harness.reports.html.axes import Axis, around, tick_text
from harness.reports.html.forest import Tick

HEIGHT_PX, TOP_PX, BOTTOM_PX = 320, 18, 44
LARGEST_PX = 26
MOST_CHARTS = 2
LINE_PX = 16
NAME_PERCENT = 1.6
"""Width of a letter in percent of a chart's width, on a narrow chart."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A variant: centre (percent, pixels), radius in pixels, bounds of both, and where its name goes."""

    variant: str
    decision: Decision | None
    x: float
    y: float
    radius: float
    left: float | None
    right: float | None
    top: float | None
    bottom: float | None
    label_y: float
    says: str


@dataclass(frozen=True, kw_only=True)
class Scatter:
    title: str
    x_title: str
    y_title: str
    points: tuple[Point, ...]
    """Largest first, so that no mark hides a smaller one."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    """`x` of a vertical tick is its height in pixels."""
    baseline_x: float
    height: int
    missing: tuple[str, ...]
    """Variants without a quality or a speed."""


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """One variant in the chart's own terms: speed ratio across, quality level up."""

    variant: str
    decision: Decision | None
    speed: tuple[float, float | None, float | None]
    quality: tuple[float, float | None, float | None]
    weight: int | None


def scatters(verdict: Verdict) -> tuple[Scatter, ...]:
    """One chart for each of the first quality metrics; none where no speed was measured."""
    keys = list(quality_keys(verdict))[:MOST_CHARTS]
    if not keys:
        measures = [m for candidate in verdict.candidates for m in candidate.measures]
        keys = list(dict.fromkeys((m.task, m.metric) for m in measures if m.kind == "perplexity"))[:1]
    charts = [_scatter(verdict, task, metric) for task, metric in keys]
    return tuple(chart for chart in charts if chart is not None)


def _scatter(verdict: Verdict, task: str, metric: str) -> Scatter | None:
    marks, missing, shown, workload = [], [], None, ""
    for candidate in verdict.candidates:
        measure, row = measure_of(candidate, task, metric), speed_row(candidate)
        mark = None if measure is None or row is None else _mark(verdict, candidate, measure, row)
        if mark is None or measure is None or row is None:
            missing.append(candidate.variant)
            continue
        marks.append(mark)
        shown, workload = measure, row.workload
    if shown is None or shown.baseline is None:
        return None
    baseline = (shown.baseline, None, None)
    marks.append(
        _Mark(
            variant=f"{verdict.baseline} (baseline)",
            decision=None,
            speed=(1.0, None, None),
            quality=baseline,
            weight=bytes_of(verdict),
        )
    )
    return _draw(marks, shown, workload, tuple(missing))


def _mark(verdict: Verdict, candidate: CandidateVerdict, measure: Measure, row: SpeedRow) -> _Mark | None:
    if measure.baseline is None or measure.candidate is None or row.ratio is None:
        return None
    quality: tuple[float, float | None, float | None] = (measure.candidate, None, None)
    if measure.kind != "perplexity" and measure.lower is not None and measure.upper is not None:
        sign = 1 if measure.higher_is_better else -1
        quality = (
            measure.candidate,
            measure.baseline - sign * measure.upper,
            measure.baseline - sign * measure.lower,
        )
    return _Mark(
        variant=candidate.variant,
        decision=candidate.decision,
        speed=(row.ratio, row.lower, row.upper),
        quality=quality,
        weight=bytes_of(verdict, candidate),
    )


def _draw(marks: list[_Mark], measure: Measure, workload: str, missing: tuple[str, ...]) -> Scatter:
    across = around([value for mark in marks for value in mark.speed], margin=0.14)
    up = around([value for mark in marks for value in mark.quality], margin=0.14)
    most = max((mark.weight or 0 for mark in marks), default=0)
    points = [_point(mark, across, up, most, measure) for mark in marks]
    factor, suffix = Notation.LEVEL.scale(measure.unit)
    shared = around([factor * up.low, factor * up.high], margin=0)
    return Scatter(
        title=f"{measure.task} {measure.metric}",
        x_title=f"decode speed, ratio to the baseline ({workload})",
        y_title=f"{measure.metric}; up is {'better' if measure.higher_is_better else 'worse'}",
        points=tuple(_spread(sorted(points, key=lambda point: -point.radius))),
        x_ticks=tuple(Tick(x=across.at(tick), text=f"{tick_text(tick)} ×") for tick in across.ticks()),
        y_ticks=tuple(Tick(x=_height(shared, tick), text=tick_text(tick) + suffix) for tick in shared.ticks()),
        baseline_x=across.at(1.0),
        height=HEIGHT_PX,
        missing=missing,
    )


def _height(axis: Axis, value: float) -> float:
    share = (value - axis.low) / (axis.high - axis.low)
    return TOP_PX + (1 - share) * (HEIGHT_PX - TOP_PX - BOTTOM_PX)


def _point(mark: _Mark, across: Axis, up: Axis, most: int, measure: Measure) -> Point:
    speed, slow, fast = mark.speed
    quality, low, high = mark.quality
    radius = 5.0 if not mark.weight or not most else max(5.0, LARGEST_PX * math.sqrt(mark.weight / most))
    size = NONE if mark.weight is None else byte_size(mark.weight)
    y = _height(up, quality)
    return Point(
        variant=mark.variant,
        decision=mark.decision,
        x=across.at(speed),
        y=y,
        radius=radius,
        left=None if slow is None else across.at(slow),
        right=None if fast is None else across.at(fast),
        top=None if high is None else _height(up, high),
        bottom=None if low is None else _height(up, low),
        label_y=y + radius + 14,
        says=f"{mark.variant}: {measure.metric} {level(quality, measure.unit)}, decode {ratio(speed)}, weights {size}",
    )


def _spread(points: list[Point]) -> list[Point]:
    """Names stand under their marks; names that would lie over one another are moved down by a line."""
    placed: list[Point] = []
    for point in sorted(points, key=lambda each: each.label_y):
        reach = NAME_PERCENT * (len(point.variant) + 1)
        near = [other.label_y for other in placed if abs(other.x - point.x) < reach]
        y = point.label_y
        while any(abs(other - y) < LINE_PX for other in near):
            y += LINE_PX
        placed.append(replace(point, label_y=y))
    return sorted(placed, key=lambda each: -each.radius)
