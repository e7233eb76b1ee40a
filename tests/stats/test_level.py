"""Bounds of one variant's own level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from statsmodels.stats.proportion import proportion_confint

from harness.stats import mean_level


@pytest.mark.parametrize(("right", "n"), [(0, 20), (7, 20), (161, 200), (200, 200)])
def test_accuracies_get_wilsons_bounds(right: int, n: int) -> None:
    """Zeros and ones: both bounds equal statsmodels' Wilson interval at 90 % (95 % a side)."""
    found = mean_level(np.repeat([1.0, 0.0], [right, n - right]))
    expected = proportion_confint(right, n, alpha=0.1, method="wilson")
    assert (found.lower, found.upper) == pytest.approx(expected, abs=1e-12)


def test_scores_get_t_bounds() -> None:
    """Other values: the bounds of scipy's one-sample t."""
    values = np.random.default_rng(0).uniform(size=50)
    found, interval = mean_level(values), ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.lower, found.upper) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("kind", ["binary", "graded", "all right", "all equal"])
def test_the_p_of_a_floor_goes_with_the_bound(kind: str, clustered: bool) -> None:
    """Under alpha exactly when the bound lies beyond the limit, and one number at every alpha."""
    source = np.random.default_rng(5)
    values = {
        "binary": (source.random(120) < 0.7).astype(float),
        "graded": source.random(120),
        "all right": np.ones(120),
        "all equal": np.full(120, 0.4),
    }[kind]
    clusters = np.arange(120) // 3 if clustered else None
    for limit in (0.02, 0.3, 0.45, 0.6, 0.68, 0.75, 0.9, 0.97, 1.0):
        for alpha in (0.001, 0.01, 0.05, 0.2, 0.4):
            found = mean_level(values, alpha=alpha, clusters=clusters)
            assert (found.p_below(limit) < alpha) == (found.upper < limit)
            assert (found.p_above(limit) < alpha) == (found.lower > limit)


def test_one_item_is_no_evidence_of_a_level() -> None:
    """A single item has no bounds, so nothing is claimed of it."""
    assert mean_level([0.0]).p_below(0.9) == 1.0


def test_few_odd_clusters_leave_room_for_one_unseen() -> None:
    """One wrong answer among 50 clusters of 20 does not certify 98 %; each bound is the wider, and both are kept."""
    values, labels = np.r_[0.0, np.ones(999)], np.repeat(np.arange(50), 20)
    found = mean_level(values, clusters=labels)
    assert found.unseen is not None
    assert found.own is not None
    assert found.lower == min(found.own[0], found.unseen[0]) < 0.95 < found.own[0]


def test_few_clusters_and_one_unit_are_said() -> None:
    """One item, or one cluster, has no bounds; few clusters have a warning."""
    for found in (mean_level([1.0]), mean_level([0.3, 0.4], clusters=["a", "a"])):
        assert (found.lower, found.upper) == (-np.inf, np.inf)
        assert found.warning is not None
    few = mean_level([1.0, 0.0, 1.0, 1.0], clusters=[0, 0, 1, 1]).warning
    assert few is not None
    assert "2 clusters" in few


def test_equal_scores_are_no_certainty() -> None:
    """The same score everywhere, rounding and all, leaves the room of an unseen share; fewer clusters leave more."""
    found = mean_level(np.full(50, 0.1))
    assert found.upper - 0.1 == pytest.approx(1.6448536**2 / (50 + 1.6448536**2), abs=1e-7)
    assert mean_level(np.full(50, 0.1), clusters=np.repeat(np.arange(10), 5)).upper > found.upper
