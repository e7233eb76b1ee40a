"""Speed ratios: Hodges-Lehmann with exact signed-rank bounds."""

from __future__ import annotations

import itertools
import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from harness.stats import Decision, speed_ratio
from harness.stats.speed import signed_rank_cut

RATIOS = np.exp(np.random.default_rng(4).normal(0.2, 0.1, size=14))


@pytest.mark.parametrize(
    ("pairs", "critical"), [(5, 0), (6, 2), (7, 3), (8, 5), (9, 8), (10, 10), (15, 30), (20, 60), (25, 100)]
)
def test_the_cut_is_the_printed_table(pairs: int, critical: int) -> None:
    """One-sided 5 % critical values of the signed-rank table; the bound is the Walsh average after them."""
    assert signed_rank_cut(pairs, 0.05) == critical + 1


@pytest.mark.parametrize("pairs", [4, 7, 11])
def test_the_distribution_is_exact(pairs: int) -> None:
    """Every assignment of signs counted: the cut is the largest rank sum that stays within alpha."""
    signs = itertools.product((0, 1), repeat=pairs)
    sums = np.array([sum(r for r, s in enumerate(each, 1) if s) for each in signs])
    expected = max((k for k in range(sums.max() + 1) if (sums <= k - 1).mean() <= 0.05), default=0)
    assert signed_rank_cut(pairs, 0.05) == expected


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_the_bounds_invert_scipys_test(side: Literal["lower", "upper"]) -> None:
    """Just outside a bound scipy's exact Wilcoxon test rejects at alpha, just inside it does not."""
    found = speed_ratio(RATIOS)
    bound, outward = (found.lower, -1e-9) if side == "lower" else (found.upper, 1e-9)
    alternative: Literal["greater", "less"] = "greater" if side == "lower" else "less"
    p_values = [
        wilcoxon(np.log(RATIOS) - math.log(bound) - step, alternative=alternative, method="exact").pvalue
        for step in (outward, -outward)
    ]
    assert p_values[0] <= 0.05 < p_values[1]


def test_the_normal_approximation_joins_the_exact_distribution() -> None:
    """Above 60 pairs the cut comes from the normal approximation: near scipy's exact p-value."""
    logs = np.random.default_rng(8).normal(size=80)
    found = speed_ratio(np.exp(logs))
    inside = wilcoxon(logs - math.log(found.lower) - 1e-9, alternative="greater", method="exact").pvalue
    assert inside == pytest.approx(0.05, abs=0.002)


def test_the_estimate_is_the_median_walsh_average() -> None:
    """Three pairs by hand: the averages of the logarithms are 0, 1, 2, 2, 3, 4 doublings."""
    assert speed_ratio([1.0, 4.0, 16.0]).ratio == pytest.approx(4.0)
    assert speed_ratio([1.0, 2.0, 16.0]).ratio == pytest.approx(2.0**1.5)


def test_one_wild_pair_moves_little() -> None:
    """A stalled run does not decide: the estimate stays within the other pairs."""
    stalled = RATIOS.copy()
    stalled[0] = 1e6
    assert speed_ratio(stalled).ratio == pytest.approx(speed_ratio(RATIOS).ratio, rel=0.05)


@pytest.mark.parametrize("pairs", [1, 2, 3, 4])
def test_too_few_pairs_bound_nothing(pairs: int) -> None:
    """Under five pairs no bound can have 95 %: 0 and infinity, INCONCLUSIVE."""
    found = speed_ratio([1.5] * pairs)
    assert found.ratio == pytest.approx(1.5)
    assert (found.lower, found.upper) == (0.0, math.inf)
    assert not found.reliable
    assert found.decide_min(1.2) == found.decide_max(1.2) == Decision.INCONCLUSIVE


def test_from_five_pairs_there_are_bounds_and_from_ten_a_decision() -> None:
    """Five pairs have finite bounds, the least and the largest ratio; a verdict needs ten."""
    ratios = [1.3, 1.5, 1.4, 1.6, 1.45]
    five = speed_ratio(ratios)
    assert (five.lower, five.upper) == pytest.approx((1.3, 1.6))
    assert five.decide_min(1.2) == Decision.INCONCLUSIVE
    ten = speed_ratio(ratios * 2)
    assert (ten.pairs, ten.reliable) == (10, True)
    assert [ten.decide_min(limit) for limit in (1.2, 1.45, 1.7)] == ["PASS", "INCONCLUSIVE", "FAIL"]
    assert [ten.decide_max(limit) for limit in (1.2, 1.45, 1.7)] == ["FAIL", "INCONCLUSIVE", "PASS"]


@settings(derandomize=True, deadline=None, max_examples=100)
@given(ratios=st.lists(st.floats(0.01, 100), min_size=1, max_size=30), seed=st.integers(0, 1000))
def test_order_and_direction(ratios: list[float], seed: int) -> None:
    """The order of the pairs does not matter; swapping the variants inverts estimate and bounds."""
    found = speed_ratio(ratios)
    assert speed_ratio(np.random.default_rng(seed).permutation(ratios)) == found
    swapped = speed_ratio([1 / ratio for ratio in ratios])
    assert swapped.ratio == pytest.approx(1 / found.ratio)
    assert found.lower <= found.ratio * (1 + 1e-12)
    assert found.ratio <= found.upper * (1 + 1e-12)
    if found.lower > 0:
        assert (swapped.lower, swapped.upper) == pytest.approx((1 / found.upper, 1 / found.lower))


def test_drift_does_not_make_an_equal_model_slower() -> None:
    """A host slows by 5 %, pairs in ABBA order: an equal model is rarely called slower."""
    draw, pairs, slower = np.random.default_rng(2), 10, 0
    for _ in range(2000):
        times = np.linspace(1.0, 1.05, 2 * pairs) * np.exp(draw.normal(0, 0.01, size=2 * pairs))
        first, second = times[0::2], times[1::2]
        turned = np.arange(pairs) % 2 == 1
        baseline, candidate = np.where(turned, second, first), np.where(turned, first, second)
        slower += speed_ratio(candidate / baseline).lower > 1
    assert slower / 2000 == pytest.approx(0.042, abs=0.015)


@pytest.mark.parametrize("ratios", [[], [1.0, 0.0], [1.0, -2.0], [math.nan], [math.inf]])
def test_bad_ratios_are_refused(ratios: list[float]) -> None:
    """No ratios, or one that is not positive and finite: ValueError."""
    with pytest.raises(ValueError, match="positive, finite ratios"):
        speed_ratio(ratios)


@pytest.mark.parametrize("pairs", [10, 14, 61])
def test_the_p_of_a_slow_candidate_goes_with_the_bound(pairs: int) -> None:
    """At most alpha exactly when the bound lies beyond the limit, also where the distribution is an approximation."""
    ratios = np.exp(np.random.default_rng(pairs).normal(0.2, 0.1, size=pairs))
    for limit in (0.9, 1.05, 1.15, 1.2, 1.25, 1.3, 1.5):
        for alpha in (0.002, 0.01, 0.05, 0.2, 0.4):
            found = speed_ratio(ratios, alpha=alpha)
            assert (found.p_fail_min(limit) <= alpha) == (found.decide_min(limit) == Decision.FAIL)
            assert (found.p_fail_max(limit) <= alpha) == (found.decide_max(limit) == Decision.FAIL)


def test_the_p_of_ten_pairs_is_scipys() -> None:
    """The exact signed-rank test of the logarithms against the limit."""
    ratios = RATIOS[:10]
    expected = wilcoxon(np.log(ratios / 1.3), alternative="less", method="exact").pvalue
    assert speed_ratio(ratios).p_fail_min(1.3) == pytest.approx(expected)
    assert speed_ratio(ratios[:9]).p_fail_min(1.3) == 1.0
