"""Bounds of a mean in a known range: exact where an exact answer exists, and wider than t where t is too sure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from harness.stats import graded_drop
from harness.stats.bounded import unseen_bound, unseen_tail


@pytest.mark.parametrize(("n", "k"), [(2, 0), (3, 0), (5, 1), (20, 0), (20, 3), (200, 0), (200, 5), (1000, 20)])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_zeros_and_ones_give_clopper_and_pearson(n: int, k: int, alpha: float) -> None:
    """Gaffke's bound of a share is the exact one; the saddlepoint's tail is within 4 % of it."""
    values = np.repeat([1.0, 0.0], [k, n - k])
    exact = float(beta.ppf(1 - alpha, k + 1, n - k))
    assert unseen_tail(values, np.ones(n), 1.0, exact) == pytest.approx(alpha, rel=0.04)
    assert unseen_bound(values, np.ones(n), 1.0, alpha) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("n", [10, 200])
def test_any_values_agree_with_drawn_weights(n: int) -> None:
    """The bound is the quantile of Dirichlet-weighted means with one value more, within the draws' own error."""
    rng = np.random.default_rng(n)
    values = np.where(rng.random(n) < 0.2, rng.normal(0.05, 0.3, n), 0.0)
    drawn = rng.exponential(size=(40_000, n + 1))
    means = drawn @ np.append(values, 1.0) / drawn.sum(axis=1)
    bound = unseen_bound(values, np.ones(n), 1.0, 0.05)
    assert (means > bound).mean() == pytest.approx(0.05, abs=0.004)


def test_the_tail_falls_as_the_mean_grows() -> None:
    """One number from 1 to 0, through the estimate itself, where the formula is 0 / 0."""
    rng = np.random.default_rng(1)
    values = np.where(rng.random(50) < 0.3, rng.normal(0.02, 0.1, 50), 0.0)
    centre = (values.sum() + 1.0) / 51
    at = np.unique(np.r_[np.linspace(-0.3, 1.1, 300), centre, centre + 1e-7, centre - 1e-7])
    tail = np.array([unseen_tail(values, np.ones(50), 1.0, each) for each in at])
    assert (np.diff(tail) <= 1e-9).all()
    assert (tail[0], tail[-1]) == (1.0, 0.0)


@pytest.mark.parametrize(("ones", "twos"), [(8, 6), (14, 3), (20, 0), (3, 0)])
def test_a_step_onto_a_pole_is_no_root(ones: int, twos: int) -> None:
    """Clusters of two that won one or both items: whole numbers let Newton's first step land on the pole, where it took
    the tail for a third. Exact: every weight must stay under the unseen one's, (2/3)^ones (1/2)^twos."""
    sums = np.repeat([-1.0, -2.0, 0.0], [ones, twos, 41])
    exact = (2 / 3) ** ones * (1 / 2) ** twos
    assert unseen_tail(sums, np.full(sums.size, 2.0), 1.0, 0.0) == pytest.approx(exact, rel=0.05)


def test_one_small_change_is_not_taken_for_the_whole_spread() -> None:
    """200 items, one of them 0.01 worse: t alone would certify a drop under 0.02 points; one unseen loss says 1.5."""
    found = graded_drop(np.r_[0.01, np.zeros(199)], margin=0.02)
    assert found.drop + 1.65 * found.se < 0.0002
    assert found.upper == pytest.approx(1 - 0.05 ** (1 / 200), rel=0.02)
    assert found.lower < 0


def test_with_many_changes_it_is_the_paired_t() -> None:
    """Fifty changed items are enough for t: the bound jumps to it there and nowhere else."""
    rng = np.random.default_rng(2)
    changed = rng.uniform(-0.2, 0.2, size=50)
    few, enough = np.r_[changed[:49], np.zeros(200)], np.r_[changed, np.zeros(200)]
    assert graded_drop(few, margin=0.02).upper - few.mean() > 1.7 * graded_drop(few, margin=0.02).se
    found = graded_drop(enough, margin=0.02)
    assert found.upper == pytest.approx(found.drop + 1.651 * found.se, rel=1e-3)
