"""Bounds with one more unit as bad as the worst seen: against draws of the weights themselves, and their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.stats.worst_seen import p_at_least, p_at_most, worst_seen_bounds

RNG = np.random.default_rng(11)
WEIGHTS = RNG.integers(20, 200, 60).astype(np.float64)
TOTALS = WEIGHTS * RNG.lognormal(-2, 0.8, 60)


def drawn(totals: np.ndarray, weights: np.ndarray, ratio: float, draws: int = 200_000) -> float:
    """The chance itself, by exponential weights over all residuals and the largest again."""
    residuals = totals - ratio * weights
    counted = np.append(residuals, residuals.max())
    exponentials = np.random.default_rng(1).exponential(1.0, (draws, counted.size))
    return float((exponentials @ counted >= 0).mean())


@pytest.mark.parametrize("share", [1.1, 1.3, 1.6])
def test_p_is_the_chance_under_flat_dirichlet_weights(share: float) -> None:
    """Within the saddlepoint's 2 % and the error of the draws."""
    ratio = share * TOTALS.sum() / WEIGHTS.sum()
    assert p_at_least(TOTALS, WEIGHTS, ratio) == pytest.approx(drawn(TOTALS, WEIGHTS, ratio), rel=0.03, abs=2e-3)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_bounds_are_where_p_is_alpha(alpha: float) -> None:
    """On both sides, and around the estimate."""
    lower, upper = worst_seen_bounds(TOTALS, WEIGHTS, alpha=alpha)
    assert lower < TOTALS.sum() / WEIGHTS.sum() < upper
    assert p_at_least(TOTALS, WEIGHTS, upper) == pytest.approx(alpha, rel=1e-6)
    assert p_at_most(TOTALS, WEIGHTS, lower) == pytest.approx(alpha, rel=1e-6)


def test_a_turned_sample_has_turned_bounds() -> None:
    """Totals with the other sign, and a ratio seen from the other side."""
    lower, upper = worst_seen_bounds(TOTALS, WEIGHTS, alpha=0.05)
    assert worst_seen_bounds(-TOTALS, WEIGHTS, alpha=0.05) == pytest.approx((-upper, -lower))
    assert worst_seen_bounds(WEIGHTS, TOTALS, alpha=0.05) == pytest.approx((1 / upper, 1 / lower))


def test_a_large_unit_widens_the_side_it_lies_on() -> None:
    """What was seen once may come again: the bound above moves more than the one below."""
    more = TOTALS.copy()
    more[0] += 0.3 * TOTALS.sum()
    value = more.sum() / WEIGHTS.sum()
    lower, upper = worst_seen_bounds(more, WEIGHTS, alpha=0.05)
    assert upper - value > 1.5 * (value - lower)


def test_edges() -> None:
    """One unit bounds nothing; weights of nothing are refused."""
    assert worst_seen_bounds(TOTALS[:1], WEIGHTS[:1], alpha=0.05) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="weights that add up to more than 0"):
        worst_seen_bounds(TOTALS, np.zeros(60), alpha=0.05)


def test_a_total_without_a_weight() -> None:
    """Residuals 1 - r, 1 and 1 again: P(E + E' >= (r - 1) E'') = 1 - ((r - 1) / r)^2, which is 5 % at r = 39.5."""
    exact = 1 / (1 - math.sqrt(0.95))
    upper = worst_seen_bounds(np.array([1.0, 1.0]), np.array([1.0, 0.0]), alpha=0.05)[1]
    assert upper == pytest.approx(exact, rel=0.03)
