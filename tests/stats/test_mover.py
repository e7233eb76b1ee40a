"""Weighted drops of several samples, against the published case, plain loops and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from harness.stats import graded_drop, paired_drop
from harness.stats.mover import Stratum, p_above, shared_correlation, weighted_drop


def stratum(n: int, lost: int, won: int, alpha: float) -> Stratum:
    drop = paired_drop(n, lost, won, margin=0.02, alpha=alpha)
    return Stratum(drop=drop.drop, lower=drop.lower, upper=drop.upper)


def test_a_difference_of_wilson_bounds_is_newcombes() -> None:
    """Two levels with Wilson's bounds and weights 1 and -1 give Newcombe's hybrid score interval."""
    (a, n), (b, m) = (56, 70), (48, 80)
    expected = confint_proportions_2indep(a, n, b, m, method="newcomb", compare="diff", alpha=0.1)
    strata = [
        Stratum(drop=hits / of, lower=lower, upper=upper)
        for hits, of in ((a, n), (b, m))
        for lower, upper in [proportion_confint(hits, of, alpha=0.1, method="wilson")]
    ]
    found = weighted_drop(strata, (1.0, -1.0), np.eye(2))
    assert (found.lower, found.upper) == pytest.approx(expected, abs=1e-9)


def test_one_stratum_is_itself() -> None:
    """A single sample with weight 1 keeps its bounds."""
    one = stratum(500, 12, 7, 0.05)
    found = weighted_drop([one], (1.0,), np.eye(1))
    assert (found.drop, found.lower, found.upper) == pytest.approx((one.drop, one.lower, one.upper))


def test_nothing_flipped_is_no_certainty() -> None:
    """Equal answers on every task leave room for a drop, and less of it over more tasks."""
    uppers = []
    for tasks in (1, 2, 4):
        strata = [stratum(100, 0, 0, 0.05)] * tasks
        found = weighted_drop(strata, (1 / tasks,) * tasks, np.eye(tasks))
        assert found.lower == pytest.approx(-found.upper)
        uppers.append(found.upper)
    assert uppers[0] > uppers[1] > uppers[2] > 0


def test_shared_items_widen_a_mean_and_never_narrow_a_difference() -> None:
    """Two tasks over the same items that flip together are one task; a difference takes no credit for it."""
    one = stratum(400, 20, 4, 0.05)
    same = np.ones((2, 2))
    mean = weighted_drop([one, one], (0.5, 0.5), same)
    assert (mean.lower, mean.upper) == pytest.approx((one.lower, one.upper))
    apart = weighted_drop([one, one], (1.0, -1.0), np.eye(2))
    assert weighted_drop([one, one], (1.0, -1.0), same).upper == pytest.approx(apart.upper)


def test_correlation_of_tasks_that_share_items() -> None:
    """By the covariance of two means over samples that overlap; none where nothing varies or is shared."""
    rng = np.random.default_rng(3)
    drops = rng.choice([-1.0, 0.0, 1.0], size=300, p=[0.05, 0.8, 0.15])
    assert shared_correlation(drops, drops, (300, 300)) == pytest.approx(1.0)
    assert shared_correlation(drops[:100], drops[:100], (300, 300)) == pytest.approx(1 / 3)
    assert shared_correlation(drops, -drops, (300, 300)) == 0.0
    assert shared_correlation(np.zeros(9), np.ones(9), (9, 9)) == 0.0
    assert shared_correlation(drops[:1], drops[:1], (300, 300)) == 0.0


@pytest.mark.parametrize("limit", [-0.01, 0.0, 0.01, 0.03])
def test_p_is_under_alpha_exactly_where_the_bound_is_beyond(limit: float) -> None:
    """What Holm's correction is given says the same as the interval."""
    counts = ((300, 15, 3), (120, 4, 2), (800, 9, 8))

    def bounds(alpha: float) -> tuple[Stratum, ...]:
        return tuple(stratum(*each, alpha) for each in counts)

    p = p_above(bounds, (0.4, 0.4, 0.2), np.eye(3), limit)
    for alpha in (0.001, 0.01, 0.05, 0.2):
        beyond = weighted_drop(bounds(alpha), (0.4, 0.4, 0.2), np.eye(3)).lower > limit
        assert (p < alpha) is beyond


def test_graded_strata_have_finite_bounds_unless_one_item_is_all() -> None:
    """One item of one task proves nothing about the mean either."""
    alone = graded_drop([0.2], margin=0.1)
    many = graded_drop(np.linspace(-0.1, 0.1, 60), margin=0.1)
    strata = [Stratum(drop=each.drop, lower=each.lower, upper=each.upper) for each in (alone, many)]
    assert weighted_drop(strata, (0.5, 0.5), np.eye(2)).upper == math.inf


def test_weights_must_fit() -> None:
    """One for each sample."""
    with pytest.raises(ValueError, match="one weight for each of 1 strata, got 2"):
        weighted_drop([stratum(9, 0, 0, 0.05)], (1.0, 1.0), np.eye(2))


def test_exact_rate_on_the_limit() -> None:
    """All outcomes of two small tasks, weighed by their chance: a model on the limit passes in at most 5 %."""
    n, lost, won = 40, 0.08, 0.02
    limit, passed, total = lost - won, 0.0, 0.0
    outcomes = [
        (b, c, math.comb(n, b) * math.comb(n - b, c) * lost**b * won**c * (1 - lost - won) ** (n - b - c))
        for b in range(14)
        for c in range(8)
    ]
    strata = {(b, c): stratum(n, b, c, 0.05) for b, c, _ in outcomes}
    for (b, c, p), (e, f, q) in itertools.product(outcomes, outcomes):
        total += p * q
        upper = weighted_drop([strata[b, c], strata[e, f]], (0.5, 0.5), np.eye(2)).upper
        passed += p * q * (upper < limit)
    assert total > 0.999
    assert passed < 0.05
