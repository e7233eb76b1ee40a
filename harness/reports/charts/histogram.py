"""Histograms on a logarithmic axis: how often a value is how large."""

from __future__ import annotations

from dataclasses import dataclass

from harness.reports.charts.axes import Axis, Tick

BASE_PX, TALLEST_PX = 120, 84


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Percent across, pixels down."""

    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Histogram:
    title: str
    about: str
    unit: str
    axis: Axis
    """Shared by charts that are to be compared by eye."""
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    markers: tuple[tuple[float, str], ...]
    """Values with their names."""
    detail: str

    @property
    def bars(self) -> tuple[Bar, ...]:
        tallest, places = max((*self.counts, 1)), [self.axis.at(edge) for edge in self.edges]
        heights = [max(1.0, TALLEST_PX * count / tallest) if count else 0.0 for count in self.counts]
        return tuple(
            Bar(x=left, width=right - left, y=BASE_PX - height, height=height)
            for left, right, height in zip(places, places[1:], heights, strict=False)
            if height
        )

    @property
    def ticks(self) -> tuple[Tick, ...]:
        return tuple(Tick(at=self.axis.at(tick), text=f"{tick:g}") for tick in self.axis.ticks(5))

    @property
    def marks(self) -> tuple[Tick, ...]:
        return tuple(Tick(at=self.axis.at(value), text=name) for value, name in self.markers)

    @property
    def says(self) -> str:
        return " ".join([f"{self.detail}.", *(f"{name} {self.unit}." for _, name in self.markers)])
