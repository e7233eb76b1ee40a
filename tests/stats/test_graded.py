"""Drops of graded metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from harness.stats import Decision, graded_drop, paired_drop

SAMPLE = np.random.default_rng(3).normal(0.01, 0.1, size=250)


def test_it_is_the_paired_t_of_scipy() -> None:
    """Standard error, statistic and both one-sided bounds equal scipy's one-sample t over the differences."""
    found = graded_drop(SAMPLE, margin=0.02)
    scipy_test = ttest_1samp(SAMPLE, 0.02)
    interval = scipy_test.confidence_interval(0.90)
    assert found.drop == pytest.approx(SAMPLE.mean())
    assert found.se == pytest.approx(SAMPLE.std(ddof=1) / math.sqrt(250))
    assert found.t == pytest.approx(scipy_test.statistic)
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high))
    assert (found.n, found.clusters, found.warning) == (250, None, None)


def test_over_clusters_it_is_statsmodels() -> None:
    """The cluster-robust standard error and t interval equal statsmodels'."""
    labels = np.repeat(np.arange(50), 5)
    fit = sm.OLS(SAMPLE, np.ones(250)).fit(cov_type="cluster", cov_kwds={"groups": labels}, use_t=True)
    found = graded_drop(SAMPLE, margin=0.02, clusters=labels)
    assert found.se == pytest.approx(float(fit.bse[0]))
    assert (found.lower, found.upper) == pytest.approx(tuple(fit.conf_int(alpha=0.1)[0]))
    assert found.clusters == 50


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(-0.05, Decision.PASS), (0.02 - SAMPLE.mean(), Decision.INCONCLUSIVE), (0.06, Decision.FAIL)],
)
def test_the_three_verdicts(shift: float, verdict: Decision) -> None:
    """PASS below the limit, FAIL above it, INCONCLUSIVE around it."""
    assert graded_drop(SAMPLE + shift, margin=0.02).verdict == verdict


@pytest.mark.parametrize(("n", "verdict"), [(20, "INCONCLUSIVE"), (132, "INCONCLUSIVE"), (133, "PASS")])
def test_ties_everywhere_are_judged_like_no_flips(n: int, verdict: str) -> None:
    """A run against itself gets the bounds of a right-or-wrong metric without flips, not certainty."""
    found = graded_drop(np.zeros(n), margin=0.02)
    binary = paired_drop(n, 0, 0, margin=0.02)
    assert (found.lower, found.upper) == pytest.approx((binary.lower, binary.upper), abs=1e-9)
    assert found.verdict == binary.verdict == verdict
    assert (found.se, found.t) == (0.0, 0.0)


def test_rounding_noise_is_a_tie() -> None:
    """Differences that are floating-point dust are no evidence of a tiny spread."""
    dust = np.where(np.arange(20) % 2, 5e-17, -3e-17)
    assert graded_drop(dust, margin=0.02).upper == pytest.approx(0.119158, abs=1e-6)


def test_ties_scale_with_the_range_of_the_metric() -> None:
    """A metric that ranges over 8 leaves eight times the room; ties off zero keep their mean."""
    unit, wide = (
        graded_drop(np.full(50, 0.5), margin=1.0),
        graded_drop(np.full(50, 0.5), margin=1.0, scale=8.0),
    )
    assert unit.drop == wide.drop == 0.5
    assert wide.upper - 0.5 == pytest.approx(8 * (unit.upper - 0.5))


def test_ties_over_clusters_count_the_clusters() -> None:
    """The room left depends on the number of clusters; clusters that balance exactly count as ties."""
    labels = np.repeat(np.arange(50), 10)
    tied = graded_drop(np.zeros(500), margin=0.02, clusters=labels)
    assert tied.upper == pytest.approx(graded_drop(np.zeros(50), margin=0.02, clusters=np.arange(50)).upper)
    balanced = graded_drop(np.tile([0.25, -0.25], 250), margin=0.02, clusters=labels)
    assert balanced.upper == pytest.approx(tied.upper)


def test_one_unit_decides_nothing() -> None:
    """One item, or one cluster, is defined: infinite bounds, INCONCLUSIVE, and said."""
    for found in (graded_drop([0.3], margin=0.02), graded_drop([0.3, 0.1], margin=0.02, clusters=["a", "a"])):
        assert (found.lower, found.upper, found.verdict) == (-math.inf, math.inf, Decision.INCONCLUSIVE)
        assert found.warning is not None
        assert "one" in found.warning


def test_few_clusters_are_said() -> None:
    """Under 40 clusters the result carries a warning."""
    found = graded_drop(SAMPLE, margin=0.02, clusters=np.repeat(np.arange(25), 10))
    assert found.warning is not None
    assert "25 clusters" in found.warning


@settings(derandomize=True, deadline=None, max_examples=100)
@given(values=st.lists(st.floats(-1, 1), min_size=2, max_size=40), seed=st.integers(0, 1000))
def test_order_and_direction(values: list[float], seed: int) -> None:
    """The order of the items does not matter; swapping the variants mirrors the bounds."""
    sample = np.array(values)
    found = graded_drop(sample, margin=0.05)
    shuffled = graded_drop(np.random.default_rng(seed).permutation(sample), margin=0.05)
    swapped = graded_drop(-sample, margin=0.05)
    assert (shuffled.lower, shuffled.upper) == pytest.approx((found.lower, found.upper), abs=1e-9)
    assert (swapped.drop, swapped.lower, swapped.upper) == pytest.approx(
        (-found.drop, -found.upper, -found.lower), abs=1e-9
    )
    assert found.lower < found.drop < found.upper


def test_simulated_false_pass_rate_at_the_limit() -> None:
    """Skewed differences with a mean on the limit: about alpha pass."""
    draw = np.random.default_rng(5)
    passed = sum(
        graded_drop(draw.uniform(-0.2, 0.24, size=100), margin=0.02).verdict == Decision.PASS for _ in range(2000)
    )
    assert passed / 2000 == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(
    ("differences", "options", "says"),
    [
        ([], {}, "at least one"),
        ([0.1, math.nan], {}, "finite"),
        ([0.1, math.inf], {}, "finite"),
        ([0.1, 0.2], {"margin": 0.0}, "margin"),
        ([0.1, 0.2], {"margin": math.inf}, "margin"),
        ([0.1, 0.2], {"alpha": 0.7}, "alpha"),
        ([0.1, 0.2], {"scale": 0.0}, "scale"),
        ([0.1, 0.2], {"scale": math.nan}, "scale"),
    ],
)
def test_bad_input_is_refused(differences: list[float], options: dict[str, float], says: str) -> None:
    """Values that are not finite and arguments out of range raise ValueError."""
    with pytest.raises(ValueError, match=says):
        graded_drop(differences, **({"margin": 0.02} | options))


def test_clusters_of_another_length_are_refused() -> None:
    """One label an item, or ValueError."""
    with pytest.raises(ValueError, match="one cluster label for each of 2 items"):
        graded_drop([0.1, 0.2], margin=0.02, clusters=["a"])
