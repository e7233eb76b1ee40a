"""Drops over items that lean together."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student

from harness.stats import Decision, clustered_drop, design_effect, paired_drop
from harness.stats.clusters import cluster_variance
from harness.stats.tango import tango_z


def leaning(groups: int, size: int, seed: int, *, drop: float = 0.0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Differences whose flips come in whole clusters more often than by chance."""
    draw = np.random.default_rng(seed)
    lean = draw.choice([-0.3, 0.0, 0.3], size=groups, p=[0.15, 0.7, 0.15]) + drop
    chance = draw.random((groups, size))
    flipped = np.where(chance < np.abs(lean)[:, None], np.sign(lean)[:, None], 0).astype(np.int64)
    return flipped.ravel(), np.repeat(np.arange(groups), size)


@pytest.mark.parametrize(("groups", "size", "seed"), [(60, 5, 0), (45, 12, 1), (150, 2, 2)])
def test_the_variance_is_statsmodels(groups: int, size: int, seed: int) -> None:
    """The cluster-robust variance equals statsmodels' `cov_type="cluster"`, unequal clusters included."""
    differences, labels = leaning(groups, size, seed)
    keep = np.random.default_rng(seed).random(differences.size) < 0.8
    sample = differences[keep].astype(float)
    codes = np.unique(labels[keep], return_inverse=True)[1].astype(np.int64)
    fit = sm.OLS(sample, np.ones(sample.size)).fit(cov_type="cluster", cov_kwds={"groups": codes})
    assert cluster_variance(sample, codes) == pytest.approx(float(fit.bse[0]) ** 2, rel=1e-9)


def test_the_counts_are_divided_by_the_design_effect() -> None:
    """n_eff = n / max(1, V_CR / V_iid), and the bounds widen accordingly, with t in place of z."""
    differences, labels = leaning(60, 5, 0)
    found = clustered_drop(differences, labels, margin=0.02)
    ratio = cluster_variance(differences.astype(float), labels) / (differences.var(ddof=1) / differences.size)
    assert found.deff == pytest.approx(ratio)
    assert found.deff > 1
    assert found.n_effective == pytest.approx(300 / found.deff)
    assert found.clusters == 60
    assert found.quantile == pytest.approx(student.ppf(0.95, 59))
    loose = paired_drop(300, found.right_to_wrong, found.wrong_to_right, margin=0.02)
    assert found.drop == loose.drop
    assert found.lower < loose.lower
    assert found.upper > loose.upper


def test_one_item_a_cluster_has_no_design_effect() -> None:
    """Clusters of one are independent items; only the quantile is t, not z."""
    differences = np.repeat([1, -1, 0], [6, 4, 190])
    found = clustered_drop(differences, np.arange(200), margin=0.02)
    assert found.deff == pytest.approx(1.0)
    assert found.z == pytest.approx(paired_drop(200, 6, 4, margin=0.02).z)


def test_clusters_that_balance_gain_nothing() -> None:
    """A cluster-robust variance below the independent one does not shrink the interval."""
    differences, labels = np.tile([1, -1, 0, 0], 50), np.repeat(np.arange(50), 4)
    assert clustered_drop(differences, labels, margin=0.02).deff == 1.0
    assert design_effect(differences.astype(float), labels) == 1.0


@pytest.mark.parametrize(("flip", "bound"), [(0, 0.0), (1, 1.0)])
def test_where_nothing_varies_the_clusters_count(flip: int, bound: float) -> None:
    """No flips, or every item flipped: the effective size is the number of clusters, not of items."""
    found = clustered_drop(np.full(500, flip), np.repeat(np.arange(50), 10), margin=0.02)
    assert (found.n_effective, found.deff) == (50, 10)
    assert found.drop == bound
    if flip == 0:
        t = student.ppf(0.95, 49)
        assert found.upper == pytest.approx(t * t / (50 + t * t), abs=1e-9)
        assert found.verdict == Decision.INCONCLUSIVE
    else:
        assert found.verdict == Decision.FAIL


def test_a_run_against_itself_passes_with_enough_clusters() -> None:
    """Identical answers pass once there are enough clusters, however many items each holds."""
    assert clustered_drop(np.zeros(150), np.arange(150), margin=0.02).verdict == Decision.PASS
    assert clustered_drop(np.zeros(1500), np.repeat(np.arange(15), 100), margin=0.02).verdict == Decision.INCONCLUSIVE


@pytest.mark.parametrize("flips", [(0, 0, 0), (1, 1, 1), (1, 0, -1)])
def test_one_cluster_decides_nothing(flips: tuple[int, ...]) -> None:
    """One cluster is defined: INCONCLUSIVE, bounds -1 to 1, and said."""
    found = clustered_drop(flips, ["a"] * 3, margin=0.02)
    assert (found.lower, found.upper, found.verdict, found.clusters) == (-1.0, 1.0, Decision.INCONCLUSIVE, 1)
    assert found.warning is not None
    assert "one cluster" in found.warning


def test_few_clusters_are_said() -> None:
    """Under 40 clusters there is a warning with their number; from 40 there is none."""
    few = clustered_drop(np.tile([0, 0, 1, -1], 39), np.repeat(np.arange(39), 4), margin=0.02)
    assert few.warning is not None
    assert "39 clusters" in few.warning
    assert clustered_drop(np.tile([0, 0, 1, -1], 40), np.repeat(np.arange(40), 4), margin=0.02).warning is None


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    items=st.lists(st.tuples(st.sampled_from([-1, 0, 0, 1]), st.sampled_from("abcdefg")), min_size=1, max_size=60),
    seed=st.integers(0, 1000),
)
def test_order_and_direction(items: list[tuple[int, str]], seed: int) -> None:
    """The order of the items does not matter; swapping the variants mirrors the bounds."""
    differences, labels = np.array([flip for flip, _ in items]), np.array([label for _, label in items])
    found = clustered_drop(differences, labels, margin=0.05)
    order = np.random.default_rng(seed).permutation(len(items))
    shuffled = clustered_drop(differences[order], labels[order], margin=0.05)
    assert shuffled.verdict == found.verdict
    assert (shuffled.lower, shuffled.upper) == pytest.approx((found.lower, found.upper), abs=1e-9)
    swapped = clustered_drop(-differences, labels, margin=0.05)
    assert (swapped.lower, swapped.upper) == pytest.approx((-found.upper, -found.lower), abs=1e-9)


def test_simulated_false_pass_rate_with_clusters() -> None:
    """Clusters flip together, the true drop is the limit: the clustered rule keeps alpha."""
    draw, groups, size, margin = np.random.default_rng(11), 100, 6, 0.05
    labels, passed, naive = np.repeat(np.arange(groups), size), 0, 0
    for _ in range(1500):
        lean = draw.choice([1, -1, 0], size=groups, p=[0.125, 0.075, 0.8])
        differences = np.repeat(lean, size)
        passed += clustered_drop(differences, labels, margin=margin).verdict == Decision.PASS
        worse, better = int((differences > 0).sum()), int((differences < 0).sum())
        naive += paired_drop(groups * size, worse, better, margin=margin).verdict == Decision.PASS
    assert passed / 1500 <= 0.065
    assert naive / 1500 > 0.15


@pytest.mark.parametrize(
    ("differences", "clusters", "says"),
    [
        ([], [], "at least one"),
        ([0, 2], [1, 2], "-1, 0 or 1"),
        ([0, math.nan], [1, 2], "-1, 0 or 1"),
        ([0, 1], [1], "one cluster label"),
        ([[0, 1]], [[1, 2]], "at least one"),
    ],
)
def test_bad_input_is_refused(differences: list[float], clusters: list[int], says: str) -> None:
    """Values that are no flips and lengths that do not fit raise ValueError."""
    with pytest.raises(ValueError, match=says):
        clustered_drop(differences, clusters, margin=0.02)


def test_a_flip_is_no_better_than_none() -> None:
    """One lost answer among 50 clusters of 20 does not turn the room that no flip leaves into a certainty."""
    labels = np.repeat(np.arange(50), 20)
    none = clustered_drop(np.zeros(1000), labels, margin=0.03)
    one = clustered_drop(np.r_[1, np.zeros(999)], labels, margin=0.03)
    assert none.verdict == one.verdict == Decision.INCONCLUSIVE
    assert one.upper >= none.upper
    assert one.unseen is not None


def test_many_changed_clusters_are_tango_alone() -> None:
    """From fifty clusters unlike the rest on the bounds are Tango's over the design effect, and nothing is added."""
    drops = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], p=[0.2, 0.6, 0.2], size=1000)
    found = clustered_drop(drops, np.repeat(np.arange(200), 5), margin=0.1)
    b, c = found.right_to_wrong / found.deff, found.wrong_to_right / found.deff
    assert found.unseen is None
    assert found.z == pytest.approx(tango_z(1000 / found.deff, b, c, 0.1))
