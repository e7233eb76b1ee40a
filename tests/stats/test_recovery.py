"""The share of the baseline's score that is kept: scores by formula, clusters, and what nothing varying proves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from harness.stats import clustered_recovery, graded_recovery, paired_recovery


def test_a_perfect_baseline_makes_it_a_share() -> None:
    """With a baseline always right the ratio is a plain share, and the bounds are Wilson's."""
    n, kept, z = 200, 180, norm.ppf(0.95)
    centre, half = (kept + z * z / 2) / (n + z * z), z / (n + z * z) * math.sqrt(kept * (n - kept) / n + z * z / 4)
    found = paired_recovery(n, kept, n - kept, 0)
    assert (found.lower, found.upper) == pytest.approx((centre - half, centre + half), rel=1e-9)


def test_without_a_flip_room_is_left() -> None:
    """Identical answers, half of them right: the bounds are as wide as those of the right half alone."""
    z2 = norm.ppf(0.95) ** 2
    found = paired_recovery(200, 100, 0, 0)
    assert found.ratio == 1
    assert found.lower == pytest.approx(100 / (100 + z2), rel=1e-9)
    assert found.upper == pytest.approx(1 / found.lower, rel=1e-9)


def test_swapping_the_variants_inverts_the_ratio() -> None:
    """candidate / baseline and baseline / candidate have bounds that are each other's inverse."""
    left, right = paired_recovery(300, 200, 20, 8), paired_recovery(300, 200, 8, 20)
    assert left.ratio == pytest.approx(1 / right.ratio)
    assert (left.lower, left.upper) == pytest.approx((1 / right.upper, 1 / right.lower), rel=1e-9)


def test_clusters_of_identical_items_count_once() -> None:
    """Ten copies of each item as its cluster: the design effect undoes the copies, up to z against t."""
    rng = np.random.default_rng(0)
    base = (rng.random(400) < 0.7).astype(float)
    cand = np.where(rng.random(400) < 0.1, 1 - base, base)
    once = clustered_recovery(base, cand, np.arange(400))
    copies = clustered_recovery(np.repeat(base, 10), np.repeat(cand, 10), np.repeat(np.arange(400), 10))
    assert (copies.lower, copies.upper) == pytest.approx((once.lower, once.upper), rel=1e-3)
    assert (copies.n, copies.clusters, copies.warning) == (4000, 400, None)


def test_few_clusters_and_one() -> None:
    """Three clusters are judged at t with 2 degrees of freedom and said; one decides nothing."""
    base = np.ones(30)
    found = clustered_recovery(base, base, np.repeat(np.arange(3), 10))
    t2 = student.ppf(0.95, 2) ** 2
    assert found.lower == pytest.approx(3 / (3 + t2), rel=1e-9)
    assert found.warning is not None
    assert "3 clusters" in found.warning
    alone = clustered_recovery(base, base, np.zeros(30))
    assert (alone.lower, alone.upper, alone.p_fail(0.9)) == (0.0, math.inf, 1.0)


def test_many_changes_give_fieller() -> None:
    """The bounds are the roots of (cand - r base)^2 = t^2 V(r), the definition of Fieller's set."""
    rng = np.random.default_rng(1)
    base = rng.uniform(0.2, 1.0, size=120)
    cand = base * 0.9 + rng.normal(0, 0.05, size=120)
    found = graded_recovery(base, cand)
    for r in (found.lower, found.upper):
        e = cand - r * base
        assert abs(e.mean() / (e.std(ddof=1) / math.sqrt(120))) == pytest.approx(student.ppf(0.95, 119), rel=1e-6)


def test_one_small_change_is_not_the_whole_spread() -> None:
    """Of 200 scores one fell by 0.01: Fieller alone would certify 99.98 %, one unseen loss leaves 3 % of 0.5."""
    base = np.full(200, 0.5)
    base[:100] = 0.4
    found = graded_recovery(base, base - np.r_[0.01, np.zeros(199)])
    assert 0.96 < found.lower < 0.98
    assert found.upper > 1


@pytest.mark.parametrize("clusters", [None, [0, 0, 1]])
def test_a_baseline_without_a_score_is_refused(clusters: list[int] | None) -> None:
    """No share of nothing can be kept."""
    with pytest.raises(ValueError, match="baseline"):
        graded_recovery([0, 0, 0], [1, 0, 0], clusters=clusters)
    with pytest.raises(ValueError, match="no item right"):
        clustered_recovery([0, 0, 0], [1, 0, 0], clusters or [0, 1, 2])
    with pytest.raises(ValueError, match="no item right"):
        paired_recovery(3, 0, 0, 1)
