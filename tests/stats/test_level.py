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
