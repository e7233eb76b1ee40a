"""The paired bootstrap of a statistic that is a function of the values themselves: somebody's own Python, a median.

Efron's resamples of units, in which an unseen unit has its share as in `harness.stats.bootstrap`; here it is made of
the best and the worst of the values seen, for nothing worse is known. So units must have changed before it decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.bootstrap import RESAMPLES, Resampled

LEAST_RESAMPLES = 200
_VALUES = 5_000_000
"""Values that are handed to the function over all resamples of a side, unless those are then too few."""
_TRIED = 100
"""Values seen among which the best and the worst for a function are looked for."""


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """A statistic that is computed from the values themselves, one list for each side."""

    baseline: Sequence[object]
    candidate: Sequence[object]
    of: Callable[[Sequence[object]], float]
    """From the values of some units, each any number of times. Raises, or is not finite, where it has no value."""
    higher_is_better: bool
    clusters: NDArray[np.int64] | None = None

    @property
    def units(self) -> int:
        return len(self.baseline) if self.clusters is None else int(self.clusters.max()) + 1

    @property
    def changed(self) -> int:
        pairs = enumerate(zip(self.baseline, self.candidate, strict=True))
        differ = [place for place, (left, right) in pairs if left != right]
        return len(differ) if self.clusters is None else len(set(self.clusters[differ].tolist()))


def recompute(sample: Recomputed, *, seed: int = 0) -> Resampled:
    """Draw both sides of a function of the values, by Efron's resamples of units; fewer of them where there are many
    values. What the function raises on the values as they are is raised; on a draw it makes the result unreliable."""
    rng = np.random.default_rng(seed)
    of, sides = sample.of, (sample.baseline, sample.candidate)
    count = len(sample.baseline)
    seen = [_finite(of, list(side)) for side in sides]
    sign = 1.0 if sample.higher_is_better else -1.0
    resamples = max(LEAST_RESAMPLES, min(RESAMPLES // 2, _VALUES // max(1, count)))
    members = _members(sample)
    drawn: list[list[float]] = []
    trouble = ""
    try:
        high, low = (_extremes(sample, side, sign) for side in sides)
        extras = ((), (high[0], low[1]), (high[1], low[0]))
        size = round(count / len(members))
        for _ in range(resamples):
            picked = np.concatenate([members[each] for each in rng.integers(0, len(members), len(members))]).tolist()
            times = int(rng.poisson(1.0)) * size
            row = []
            for extra in extras:
                for place, side in enumerate(sides):
                    values = [side[each] for each in picked]
                    row.append(_finite(of, values + [extra[place]] * times if extra else values))
            drawn.append(row)
    except Exception as error:  # noqa: BLE001  # somebody's function: it may raise anything on values it does not expect
        trouble = f"in some draws the function has no value ({type(error).__name__}: {error})"
        drawn = [[seen[0], seen[1]] * 3]
    columns = np.asarray(drawn).T
    return Resampled(
        baseline=seen[0],
        candidate=seen[1],
        plain=(columns[0], columns[1]),
        harmed=(columns[2], columns[3]),
        helped=(columns[4], columns[5]),
        units=sample.units,
        changed=sample.changed,
        clustered=sample.clusters is not None,
        higher_is_better=sample.higher_is_better,
        known_worst=False,
        trouble=trouble,
    )


def _members(sample: Recomputed) -> list[NDArray[np.int64]]:
    """The places of each unit's values."""
    if sample.clusters is None:
        return [np.array([place]) for place in range(len(sample.baseline))]
    order = np.argsort(sample.clusters, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(sample.clusters[order])) + 1)


def _extremes(sample: Recomputed, side: Sequence[object], sign: float) -> tuple[object, object]:
    """Of values seen on either side, the one that helps the statistic of this side most and the one that harms it."""
    distinct: list[object] = []
    for value in (*sample.baseline, *sample.candidate):
        if len(distinct) == _TRIED:
            break
        if value not in distinct:
            distinct.append(value)
    scores = [sign * _finite(sample.of, [*side, value]) for value in distinct]
    return distinct[int(np.argmax(scores))], distinct[int(np.argmin(scores))]


def _finite(of: Callable[[Sequence[object]], float], values: Sequence[object]) -> float:
    found = float(of(values))
    if not math.isfinite(found):
        raise ValueError(f"it gave {found}")
    return found
