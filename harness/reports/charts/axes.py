"""Where a value is on a chart's axis, as a percentage of its width, and where the ticks are.

Charts place marks in percent across and in pixels down, so they fill any width without stretching their text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.notation import Scale

FROM, TO = 2.0, 98.0
"""Percent of the width that the axis spans; the rest keeps marks at the ends from being cut."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A round value: its position, in percent or pixels, and its label."""

    at: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A linear axis from `low` to `high` (log10 of the values when `log`)."""

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """Percent of the width, held inside the axis."""
        if self.log:
            value = math.log10(value) if value > 0 else self.low
        share = (value - self.low) / (self.high - self.low)
        return FROM + (TO - FROM) * min(1.0, max(0.0, share))

    def down(self, value: float, top: float, bottom: float) -> float:
        """Pixels from the top of a chart whose axis goes from `bottom` up to `top`."""
        return top + (1 - (value - self.low) / (self.high - self.low)) * (bottom - top)

    def scaled(self, scale: Scale) -> Axis:
        """The same axis in the terms of its ticks."""
        return around([scale.factor * self.low, scale.factor * self.high], margin=0)

    def ticks(self, about: int = 7) -> tuple[float, ...]:
        """Round values inside the axis: 1, 2 or 5 times a power of ten apart; powers of ten when `log`."""
        if self.log:
            powers = range(math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9) + 1)
            step = max(1, math.ceil(len(powers) / about))
            return tuple(10.0**power for power in powers if power % step == 0)
        apart = _round_step((self.high - self.low) / about)
        first = math.ceil(self.low / apart - 1e-9)
        last = math.floor(self.high / apart + 1e-9)
        return tuple(index * apart for index in range(first, last + 1))


def around(values: Iterable[float | None], *, margin: float = 0.06) -> Axis:
    """A linear axis that holds all values (None is left out) with a margin on both sides."""
    present = [value for value in values if value is not None]
    low, high = (min(present), max(present)) if present else (0.0, 1.0)
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, 1e-12):  # one value: an axis needs some width
        low, high = low - (size or 1.0) / 2, high + (size or 1.0) / 2
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    spread = high - low
    return Axis(low=low - margin * spread, high=high + margin * spread)


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def tick_text(value: float) -> str:
    """A tick's number without noise: `0.1`, `-2`, `1e-06`."""
    return f"{0.0 if abs(value) < 1e-12 else value:g}"
