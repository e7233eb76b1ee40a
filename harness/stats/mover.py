"""A weighted sum of drops over strata: several tasks at once, or one slice against the rest.

Each stratum keeps the bounds that its own items call for (Tango's, clustered, paired t with Gaffke's). They are put
together by MOVER, the method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27, 2008, pages
1693 to 1702; Newcombe's hybrid score interval is its first case):

    U = Σ w d + √(Σ e² + 2 Σ r e e'),  e = w (u − d) where w > 0, |w| (d − l) where w < 0

with r the correlation between two strata that share items, 0 for strata that share none. So few flips, a skewed bound
and no flip at all count for what they do in each stratum, and nothing is certain because nothing happened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.decision import check_alpha

LARGEST_ALPHA = 0.4999
SMALLEST_ALPHA = 1e-12
HALVINGS = 34
"""Of the logarithm of alpha between these two: p to nine digits."""


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """The drop of one part, with its one-sided bounds."""

    drop: float
    lower: float
    upper: float


Bounds = Callable[[float], tuple[Stratum, ...]]
"""From alpha to every stratum with its bounds at 1 - alpha each."""
Correlations = NDArray[np.float64]
"""Of the strata's drops, [strata, strata], at least 0; ones on the diagonal."""


@dataclass(frozen=True, kw_only=True)
class WeightedDrop:
    """A weighted sum of drops, with one-sided bounds at 1 - alpha each."""

    drop: float
    lower: float
    upper: float
    strata: tuple[Stratum, ...]
    below: tuple[float, ...]
    """Each stratum's part of the distance down to `lower`, never negative; `above` of that up to `upper`."""
    above: tuple[float, ...]


def weighted_drop(strata: Sequence[Stratum], weights: Sequence[float], correlations: Correlations) -> WeightedDrop:
    """Combine the strata. Raises ValueError where there is not one weight for each."""
    if len(strata) != len(weights) or not strata:
        raise ValueError(f"weighted_drop: expected one weight for each of {len(strata)} strata, got {len(weights)}")
    value = math.fsum(weight * each.drop for weight, each in zip(weights, strata, strict=True))
    down = [abs(weight) * (each.drop - each.lower) for weight, each in zip(weights, strata, strict=True)]
    up = [abs(weight) * (each.upper - each.drop) for weight, each in zip(weights, strata, strict=True)]
    below = tuple(one if weight > 0 else other for weight, one, other in zip(weights, down, up, strict=True))
    above = tuple(other if weight > 0 else one for weight, one, other in zip(weights, down, up, strict=True))
    signed = correlations * np.sign(np.outer(weights, weights))
    return WeightedDrop(
        drop=value,
        lower=value - _length(below, signed),
        upper=value + _length(above, signed),
        strata=tuple(strata),
        below=below,
        above=above,
    )


def _length(parts: Sequence[float], correlations: Correlations) -> float:
    """Of correlated parts together. Parts of opposite sign that move together are taken as independent: that is never
    narrower."""
    sides = np.asarray(parts)
    if not np.isfinite(sides).all():
        return math.inf
    return math.sqrt(float(sides @ np.maximum(correlations, 0.0) @ sides))


def p_above(bounds: Bounds, weights: Sequence[float], correlations: Correlations, limit: float) -> float:
    """One-sided p of H0: the weighted drop is at most `limit`: the alpha at which the lower bound meets it; 1 where the
    bound is under the limit at every alpha."""

    def lower(alpha: float) -> float:
        check_alpha(alpha)
        return weighted_drop(bounds(alpha), weights, correlations).lower

    if lower(LARGEST_ALPHA) <= limit:
        return 1.0
    low, high = math.log(SMALLEST_ALPHA), math.log(LARGEST_ALPHA)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if lower(math.exp(middle)) > limit else (middle, high)
    return math.exp(high)


def shared_correlation(first: NDArray[np.float64], second: NDArray[np.float64], sizes: tuple[int, int]) -> float:
    """Between the mean drops of two strata that have these items in common, [shared] each; never under 0.

    The covariance of two means over n and m items of which k are the same is k / (n m) times that of the shared
    differences. `sizes`: n and m. 0 where nothing varies.
    """
    shared = first.size
    if shared < 2:
        return 0.0
    spread = float(np.std(first, ddof=1) * np.std(second, ddof=1))
    if spread == 0:
        return 0.0
    of_items = float(np.cov(first, second)[0, 1]) / spread
    return min(1.0, max(0.0, of_items * shared / math.sqrt(sizes[0] * sizes[1])))
