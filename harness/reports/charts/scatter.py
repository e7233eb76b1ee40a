"""Scatter plots: two values of each variant with their bounds, a third as the area of its mark."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.notation import Scale
from harness.records.findings import FindingDecision
from harness.reports.charts.axes import Axis, Tick, around, tick_text

HEIGHT_PX, TOP_PX, BOTTOM_PX = 320, 18, 276
LARGEST_PX = 26
LINE_PX = 16
NAME_PERCENT = 1.6
"""Width of a letter in percent of a chart's width, on a narrow chart."""
Bounded = tuple[float, float | None, float | None]
"""A value with its bounds."""


@dataclass(frozen=True, kw_only=True)
class Point:
    variant: str
    decision: FindingDecision | None
    x: Bounded
    y: Bounded
    size: float | None
    says: str


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A variant: centre (percent, pixels), radius in pixels, bounds of both, and where its name goes."""

    variant: str
    decision: FindingDecision | None
    says: str
    x: float
    y: float
    radius: float
    across: tuple[float, float] | None
    up: tuple[float, float] | None
    label_y: float


@dataclass(frozen=True, kw_only=True)
class Scatter:
    title: str
    about: str
    """What the title is held against."""
    x_title: str
    detail: str
    points: tuple[Point, ...]
    x_scale: Scale
    y_scale: Scale
    one: float
    """Where the baseline is across."""
    missing: tuple[str, ...]
    """Variants without one of the values."""
    height: int = HEIGHT_PX

    @property
    def axes(self) -> tuple[Axis, Axis]:
        across = around([value for point in self.points for value in point.x], margin=0.14)
        return across, around([value for point in self.points for value in point.y], margin=0.14)

    @property
    def ticks(self) -> tuple[tuple[Tick, ...], tuple[Tick, ...]]:
        """Those across, in percent, and those up, in pixels."""
        across, up = self.axes[0].scaled(self.x_scale), self.axes[1].scaled(self.y_scale)
        return (
            tuple(Tick(at=across.at(tick), text=tick_text(tick) + self.x_scale.suffix) for tick in across.ticks()),
            tuple(Tick(at=_down(up, tick), text=tick_text(tick) + self.y_scale.suffix) for tick in up.ticks()),
        )

    @property
    def dots(self) -> tuple[Dot, ...]:
        """Largest first, so that no mark hides a smaller one. Names stand under their marks; one that would lie over
        another is moved down by a line."""
        most = max((point.size or 0 for point in self.points), default=0)
        placed: list[Dot] = []
        across, up = self.axes
        radii = [5.0 if not point.size or not most else self._radius(point.size / most) for point in self.points]
        order = sorted(zip(radii, self.points, strict=True), key=lambda each: -each[0])
        for radius, point in sorted(order, key=lambda each: _down(up, each[1].y[0]) + each[0]):
            x, y = across.at(point.x[0]), _down(up, point.y[0])
            reach = NAME_PERCENT * (len(point.variant) + 1)
            near = [other.label_y for other in placed if abs(other.x - x) < reach]
            label_y = y + radius + 14
            while any(abs(other - label_y) < LINE_PX for other in near):
                label_y += LINE_PX
            slow, fast, low, high = *point.x[1:], *point.y[1:]
            dot = Dot(
                variant=point.variant,
                decision=point.decision,
                says=point.says,
                x=x,
                y=y,
                radius=radius,
                across=None if slow is None or fast is None else (across.at(slow), across.at(fast)),
                up=None if low is None or high is None else (_down(up, high), _down(up, low)),
                label_y=label_y,
            )
            placed.append(dot)
        return tuple(sorted(placed, key=lambda each: -each.radius))

    @staticmethod
    def _radius(share: float) -> float:
        return max(5.0, LARGEST_PX * math.sqrt(share))

    @property
    def says(self) -> str:
        return " ".join(f"{dot.says}." for dot in self.dots)


def _down(axis: Axis, value: float) -> float:
    return axis.down(value, TOP_PX, BOTTOM_PX)
