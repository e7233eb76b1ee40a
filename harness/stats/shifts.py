"""Shifts of level in a series of figures, for people to look at. Nothing is gated on them.

The largest t statistic over all ways to cut a series in two is Worsley's likelihood-ratio test (1979, JASA 74,
"On the likelihood ratio test for a shift in location of normal populations"); looking also at stretches between two
cuts, and cutting again inside, is circular binary segmentation (Olshen, Venkatraman, Lucito, Wigler 2004,
Biostatistics 5). The error of the difference is the larger of two: what the runs scatter, and what their intervals
allow, so that runs which agree better than their items can show do not make a shift of every small step.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FEW_RUNS = 8
"""Shorter series are not looked at."""
FEW_EACH = 3
"""Runs that a level has at least, so that one odd run is no shift."""
ERRORS = 5.0
"""Standard errors that make a shift. Among series without one, of normal noise of any size, under 1 % are marked at
any length from 8 (the 99 % quantile of the statistic is 4.67 at 8 runs, at most 4.88, and 4.53 at 60; simulated)."""
MOST_RUNS = 1000
"""Of a longer series the last ones: the number of stretches grows with the square."""


@dataclass(frozen=True, kw_only=True)
class LevelShift:
    """A step between two runs of a series; levels are means over the runs between shifts."""

    at: int
    """Index of the first run on the new level."""
    before: float
    after: float
    error: float
    """Standard error of `after - before`; approximate, since the place was chosen by looking."""
    runs_before: int
    runs_after: int

    @property
    def size(self) -> float:
        return self.after - self.before


def level_shifts(values: ArrayLike, errors: ArrayLike | None = None) -> tuple[LevelShift, ...]:
    """Shifts in a series, oldest value first.

    `values`: one figure a run. `errors`: its standard error in each run, in the same unit; None where it has none.
    Empty for fewer than `FEW_RUNS`. The noise is taken as equal and independent from run to run; a slow drift shows
    as steps. Raises `ValueError` for values that are not finite or of another length than their errors.
    """
    figures = np.asarray(values, dtype=np.float64)
    spread = np.zeros_like(figures) if errors is None else np.asarray(errors, dtype=np.float64)
    if figures.ndim != 1 or spread.shape != figures.shape:
        raise ValueError(f"expected as many errors as values, got {spread.shape} and {figures.shape}")
    if not (np.isfinite(figures).all() and np.isfinite(spread).all() and (spread >= 0).all()):
        raise ValueError("values and errors must be finite, errors not negative")
    first = max(0, len(figures) - MOST_RUNS)
    cuts = sorted(_cuts(figures[first:], spread[first:] ** 2, first))
    edges = [first, *cuts, len(figures)]
    return tuple(_shift(figures, spread**2, edges[index], cut, edges[index + 2]) for index, cut in enumerate(cuts))


def _cuts(values: Floats, variances: Floats, offset: int) -> list[int]:
    """Where the level changes, as indices of the whole series."""
    found = _stretch(values, variances)
    if found is None:
        return []
    edges = sorted({0, *found, len(values)})
    cuts = [offset + edge for edge in edges[1:-1]]
    for start, end in pairwise(edges):
        cuts += _cuts(values[start:end], variances[start:end], offset + start)
    return cuts


def _stretch(values: Floats, variances: Floats) -> tuple[int, int] | None:
    """The stretch that lies furthest from the rest, as (start, end); None where none is far enough."""
    count = len(values)
    if count < FEW_RUNS:
        return None
    scale = float(np.abs(values).max())
    centred = values - values.mean()
    sums = np.concatenate([[0.0], np.cumsum(centred)])
    squares = float(centred @ centred)
    if _most_between(sums) * (count - 2 + ERRORS**2) <= squares * ERRORS**2:
        return None  # by their scatter alone no stretch is far enough, which is soon found out
    known = np.concatenate([[0.0], np.cumsum(variances)])
    start, end = _stretches(count)
    inside = end - start
    outside = count - inside
    total = sums[end] - sums[start]
    difference = np.abs(total / inside + total / outside)  # the centred sums of both sides cancel
    scatter = np.maximum(squares - total**2 / inside - total**2 / outside, 0.0) / (count - 2)
    of_scatter = scatter * (1 / inside + 1 / outside)
    allowed = known[end] - known[start]
    of_intervals = allowed / inside**2 + (known[-1] - allowed) / outside**2
    error = np.sqrt(np.maximum(of_scatter, of_intervals))
    far = np.where(difference > 1e-9 * scale, difference / np.maximum(error, 1e-12 * scale + 1e-300), 0.0)
    best = int(np.argmax(far))
    return (int(start[best]), int(end[best])) if far[best] > ERRORS else None


def _most_between(sums: Floats) -> float:
    """The most of the sum of squares that lies between a stretch and the rest; `sums`: cumulated, of mean zero."""
    count = len(sums) - 1
    return max(
        float(np.abs(sums[length:] - sums[:-length]).max()) ** 2 * count / (length * (count - length))
        for length in range(FEW_EACH, count - FEW_EACH + 1)
    )


def _stretches(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every stretch [start, end) that leaves `FEW_EACH` runs in it and on each side that has any."""
    start, end = np.triu_indices(count + 1, FEW_EACH)
    inner = (start >= FEW_EACH) & ((end == count) | (count - end >= FEW_EACH))
    return start[inner], end[inner]


def _shift(values: Floats, variances: Floats, start: int, cut: int, end: int) -> LevelShift:
    before, after = values[start:cut], values[cut:end]
    rest = ((before - before.mean()) ** 2).sum() + ((after - after.mean()) ** 2).sum()
    of_scatter = rest / (len(values[start:end]) - 2) * (1 / len(before) + 1 / len(after))
    of_intervals = variances[start:cut].sum() / len(before) ** 2 + variances[cut:end].sum() / len(after) ** 2
    return LevelShift(
        at=cut,
        before=float(before.mean()),
        after=float(after.mean()),
        error=float(np.sqrt(max(of_scatter, of_intervals))),
        runs_before=len(before),
        runs_after=len(after),
    )
