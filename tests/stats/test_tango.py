"""Tango's statistic: its closed form, its array form, its inversion."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats.tango import tango_bound, tango_z, tango_z_grid


def likelihood_z(n: int, b: int, c: int, difference: float) -> float:
    """The statistic with its constrained maximum found by search, not by the formula."""
    low, high = max(0.0, -difference), (1 - difference) / 2

    def log_likelihood(q: float) -> float:
        same = 1 - 2 * q - difference
        if min(q, q + difference, same) <= 0:
            return -math.inf
        return b * math.log(q + difference) + c * math.log(q) + (n - b - c) * math.log(same)

    for _ in range(200):
        first, second = low + (high - low) / 3, high - (high - low) / 3
        if log_likelihood(first) < log_likelihood(second):
            low = first
        else:
            high = second
    q = (low + high) / 2
    return (b - c - n * difference) / math.sqrt(n * (2 * q + difference * (1 - difference)))


@pytest.mark.parametrize(
    ("n", "b", "c", "difference"),
    [(50, 4, 2, 0.02), (200, 9, 3, 0.05), (1000, 68, 18, 0.02), (30, 12, 1, -0.3), (40, 3, 20, 0.1)],
)
def test_the_formula_is_the_constrained_maximum_of_the_likelihood(n: int, b: int, c: int, difference: float) -> None:
    """The closed form gives what a search for the maximum gives."""
    assert tango_z(n, b, c, difference) == pytest.approx(likelihood_z(n, b, c, difference), abs=1e-6)


@pytest.mark.parametrize("difference", [0.005, 0.02, 0.3])
def test_the_array_form_equals_the_scalar_form(difference: float) -> None:
    """Power is computed with the very statistic that decides."""
    b, c = (counts.ravel().astype(float) for counts in np.meshgrid(np.arange(13), np.arange(13)))
    keep = b + c <= 12
    grid = tango_z_grid(12, b[keep], c[keep], difference)
    one_by_one = [tango_z(12, i, j, difference) for i, j in zip(b[keep], c[keep], strict=True)]
    np.testing.assert_allclose(grid, one_by_one, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("zero", [(20, 0, 0, 0.0), (5, 5, 0, 1.0), (5, 0, 5, -1.0)])
def test_zero_over_zero_is_zero(zero: tuple[int, int, int, float]) -> None:
    """A difference that fits the counts without any spread gives 0, no division error."""
    assert tango_z(*zero) == 0.0


def test_an_impossible_difference_is_infinitely_far() -> None:
    """No spread and another difference than the one seen: an infinite statistic with the right sign."""
    assert tango_z(5, 0, 0, 1.0) == -math.inf
    assert tango_z(5, 0, 0, -1.0) == math.inf


COUNTS = st.integers(1, 2000).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(n), st.just(b), st.integers(0, n - b)))
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(counts=COUNTS, factor=st.integers(2, 50), margin=st.floats(0.001, 0.5))
def test_more_of_the_same_grows_with_the_root(counts: tuple[int, int, int], factor: int, margin: float) -> None:
    """k times the items at the same rates multiply the statistic by sqrt(k), as `items_to_decide` needs."""
    n, b, c = counts
    small, large = tango_z(n, b, c, margin), tango_z(n * factor, b * factor, c * factor, margin)
    assert large == pytest.approx(math.sqrt(factor) * small, rel=1e-9, abs=1e-9)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(counts=COUNTS, target=st.floats(-4, 4))
def test_the_bound_is_where_the_statistic_crosses_its_target(counts: tuple[int, int, int], target: float) -> None:
    """Just below the bound the statistic is above the target, just above it is not."""
    n, b, c = counts
    bound = tango_bound(n, b, c, target)
    if bound - 1e-7 > -1:
        assert tango_z(n, b, c, bound - 1e-7) > target
    if bound + 1e-7 < 1:
        assert tango_z(n, b, c, bound + 1e-7) <= target
