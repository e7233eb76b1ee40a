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
