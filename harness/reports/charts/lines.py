"""Line charts over runs: a line per variant and series, bounds as bars, marks of shifts and of breaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.notation import Scale
from harness.reports.charts.axes import Axis, Tick, around, tick_text

HEIGHT_PX, TOP_PX, BOTTOM_PX = 216, 24, 186
APART = 1.2
"""Percent between the variants of one run at most, so that bars do not hide each other."""
COLOURS = 6
"""Variants beyond these share colours; their names are next to the lines' keys."""
TOLD_RUNS = 60
"""With more runs than this the dots of a chart carry no text of their own, which would make the page heavy."""
BREAKS_LISTED = 6
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class LinePoint:
    """A variant at one of the chart's runs. Without a series it is drawn hollow."""

    run: int
    value: float
    lower: float | None
    upper: float | None
    series: int | None
    promoted: bool
    says: str


@dataclass(frozen=True, kw_only=True)
class Event:
    """A new series, or a shift of one variant's level, that begins at a run."""

    run: int
    text: str
    variant: int = 0
    down: bool = False


@dataclass(frozen=True, kw_only=True)
class Dot:
    x: float
    y: float
    point: LinePoint


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One variant's line. Paths have their own units: a tenth of a percent across, pixels down."""

    colour: int
    dots: tuple[Dot, ...]
    path: str
    bars: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A break or a shift: percent across, pixels down (shifts at one run stand below each other)."""

    x: float
    y: float
    name: str
    event: Event
    colour: int


@dataclass(frozen=True, kw_only=True)
class LineChart:
    title: str
    detail: str
    started: tuple[str, ...]
    """When each run began, oldest first."""
    points: tuple[tuple[LinePoint, ...], ...]
    """Of each variant, the same variants in all charts of a page; empty where it has none."""
    breaks: tuple[Event, ...]
    shifts: tuple[Event, ...]
    neutral: float
    scale: Scale
    height: int = HEIGHT_PX

    @property
    def told(self) -> bool:
        """Each dot carries its text."""
        return len(self.started) <= TOLD_RUNS

    @property
    def radius(self) -> float:
        return 4.5 if len(self.started) <= 30 else 3.0 if self.told else 1.8

    @property
    def says(self) -> str:
        runs = f"{len(self.started)} runs from {self.started[0][:10]} to {self.started[-1][:10]}."
        marks = [f"Shift: {each.text}." for each in self.shifts] + [f"New series: {each.text}." for each in self.breaks]
        return " ".join([runs, *marks])

    @cached_property
    def axis(self) -> Axis:
        rows = [point for line in self.points for point in line]
        return around([self.neutral, *(bound for row in rows for bound in (row.value, row.lower, row.upper))])

    @property
    def neutral_y(self) -> float:
        return down(self.axis, self.neutral)

    @property
    def y_ticks(self) -> tuple[Tick, ...]:
        scaled = self.axis.scaled(self.scale) if self.scale.factor != 1 else self.axis
        return tuple(Tick(at=down(scaled, tick), text=tick_text(tick) + self.scale.suffix) for tick in scaled.ticks(5))

    @property
    def x_ticks(self) -> tuple[Tick, ...]:
        """At most six dates; of more, four with the first and the last among them. Times where all is of one day."""
        last = len(self.started) - 1
        chosen = range(last + 1) if last < 6 else [round(index * last / 3) for index in range(4)]
        day = len({began[:10] for began in self.started}) == 1 and last > 0
        texts = [began[11:16] if day else began[5:10] for began in self.started]
        return tuple(Tick(at=self._across(run), text=texts[run]) for run in dict.fromkeys(chosen))

    @property
    def drawn(self) -> tuple[Drawn, ...]:
        return tuple(self._line(index, points) for index, points in enumerate(self.points) if points)

    @property
    def marked_breaks(self) -> tuple[Mark, ...]:
        marked = enumerate(self.breaks)
        return tuple(
            Mark(x=self._across(each.run) - self._step / 2, y=0, name=LETTERS[place % 26], event=each, colour=0)
            for place, each in marked
        )

    @property
    def marked_shifts(self) -> Iterator[Mark]:
        before: list[int] = []
        for number, each in enumerate(self.shifts, start=1):
            y = 10.0 + 11.0 * before.count(each.run)
            yield Mark(x=self._across(each.run), y=y, name=str(number), event=each, colour=each.variant % COLOURS)
            before.append(each.run)

    @property
    def _step(self) -> float:
        return 90 / len(self.started)

    def _across(self, run: int) -> float:
        return 6 + self._step * (run + 0.5)

    def _line(self, index: int, points: Sequence[LinePoint]) -> Drawn:
        aside = min(APART, 0.8 * self._step / len(self.points)) * (index - (len(self.points) - 1) / 2)
        dots, bars = [], []
        series: dict[int, list[str]] = {}
        for point in points:
            x, y = self._across(point.run) + aside, down(self.axis, point.value)
            if point.series is not None:
                series.setdefault(point.series, []).append(f"{10 * x:.1f} {y:.1f}")
            if point.lower is not None and point.upper is not None:
                bars.append(f"M{10 * x:.1f} {down(self.axis, point.upper):.1f}V{down(self.axis, point.lower):.1f}")
            dots.append(Dot(x=x, y=y, point=point))
        path = "".join("M" + "L".join(places) for places in series.values())
        return Drawn(colour=index % COLOURS, dots=tuple(dots), path=path, bars="".join(bars))


def down(axis: Axis, value: float) -> float:
    return axis.down(value, TOP_PX, BOTTOM_PX)
