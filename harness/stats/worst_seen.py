"""Bounds of a ratio of sums that count with one more unit as bad as the worst that was seen.

Lengths of answers and divergences of documents are skewed: a sample without the rare large ones looks certain, and
Student's t takes it for the whole truth. So one unseen unit counts as in Gaffke's bound (`harness.stats.bounded`), its
residual total - r * weight the largest of those seen: the chance that the flat Dirichlet mean of the residuals and it
reaches 0 is the p of H0 that the ratio is at least r. No range is needed, and where all units are alike it adds little.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.stats.bounded import unseen_deviate
from harness.stats.decision import check_alpha, upper_tail

Floats = NDArray[np.float64]
FARTHEST = 1e9
"""A bound this many times the largest ratio is none."""
STEPS = 60
"""Of the bisection: twelve digits and more."""


def p_at_least(totals: Floats, weights: Floats, ratio: float) -> float:
    """One-sided p of H0: the ratio of the sums of `totals` and `weights`, [units] each, is at least `ratio`."""
    residuals = totals - ratio * weights
    return upper_tail(unseen_deviate(residuals, np.ones(residuals.size), float(residuals.max()), 0.0))


def p_at_most(totals: Floats, weights: Floats, ratio: float) -> float:
    """The same of H0: it is at most that."""
    return p_at_least(-totals, weights, -ratio)


def worst_seen_bounds(totals: Floats, weights: Floats, *, alpha: float) -> tuple[float, float]:
    """One-sided bounds at 1 - alpha each; infinite for one unit, and where nothing bounds the ratio.

    Raises ValueError where the weights do not add up to more than 0.
    """
    check_alpha(alpha)
    if not weights.sum() > 0:
        raise ValueError("worst_seen_bounds: expected weights that add up to more than 0")
    if totals.size == 1:
        return -math.inf, math.inf
    value = float(totals.sum() / weights.sum())
    upper = _crossing(lambda ratio: p_at_least(totals, weights, ratio), value, alpha)
    lower = _crossing(lambda ratio: p_at_least(-totals, weights, ratio), -value, alpha)
    return -lower, upper


def _crossing(p: Callable[[float], float], start: float, alpha: float) -> float:
    """Where p falls to alpha, from the estimate upwards."""
    step = max(1e-9, 1e-3 * abs(start))
    low, high = start, start + step
    while p(high) > alpha:
        low, step = high, 2 * step
        high = start + step
        if step > FARTHEST * max(1.0, abs(start)):
            return math.inf
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if p(middle) > alpha else (low, middle)
    return high
