"""Items that are right by a share, because options tie: the same bounds where none is, safe ones where some are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import clustered_drop, clustered_recovery, mean_level, paired_drop, paired_recovery, shared_drop

SHARES = st.sampled_from([0.0, 1.0, 0.5, 1 / 3, 0.25])
PAIRS = st.lists(st.tuples(SHARES, SHARES), min_size=2, max_size=120)


@settings(deadline=None)
@given(n=st.integers(1, 400), data=st.data())
def test_without_shares_it_is_the_paired_drop(n: int, data: st.DataObject) -> None:
    """Bounds, statistic, verdict and mid-p are those of the whole counts."""
    b = data.draw(st.integers(0, n))
    c = data.draw(st.integers(0, n - b))
    differences = np.r_[np.ones(b), -np.ones(c), np.zeros(n - b - c)]
    assert shared_drop(differences, margin=0.02) == paired_drop(n, b, c, margin=0.02)


@settings(deadline=None)
@given(pairs=PAIRS)
def test_swapping_the_sides_negates_the_drop(pairs: list[tuple[float, float]]) -> None:
    """Also with ties on either side, and the bounds enclose it."""
    left, right = np.asarray(pairs).T
    there, back = shared_drop(left - right, margin=0.02), shared_drop(right - left, margin=0.02)
    assert there.drop == pytest.approx(-back.drop, abs=1e-12)
    assert there.upper == pytest.approx(-back.lower, abs=1e-9)
    assert there.lower - 1e-9 <= there.drop <= there.upper + 1e-9
    assert 0 <= there.p_change <= 1


@settings(deadline=None)
@given(pairs=PAIRS, item=st.integers(0, 119))
def test_a_tie_lies_between_its_two_outcomes(pairs: list[tuple[float, float]], item: int) -> None:
    """Half right bounds the drop no lower than right and no higher than wrong: one tie moves nothing by a jump."""
    left, right = np.asarray(pairs).T.copy()
    place = item % left.size
    uppers = []
    for value in (1.0, 0.5, 0.0):
        right[place] = value
        uppers.append(shared_drop(left - right, margin=0.02).upper)
    assert uppers[0] - 1e-9 <= uppers[1] <= uppers[2] + 1e-9


def test_one_tie_costs_no_power() -> None:
    """133 equal items certify 2 pp; with one tie on both sides they still do, and over clusters and as a share kept."""
    right = np.r_[np.ones(200), 0.5]
    assert shared_drop(right - right, margin=0.02).verdict == "PASS"
    assert shared_drop(np.r_[np.zeros(1000), 0.5], margin=0.02).upper < paired_drop(1001, 1, 0, margin=0.02).upper
    assert clustered_drop(right - right, np.arange(201), margin=0.02).verdict == "PASS"
    assert paired_recovery(201, 200.5, 0, 0).lower == pytest.approx(paired_recovery(201, 200, 0, 0).lower, abs=1e-3)
    assert clustered_recovery(right, right, np.arange(201)).ratio == 1
    level, near = mean_level(right, shares=True), mean_level(np.r_[np.ones(200), 1.0])
    assert level.lower == pytest.approx(near.lower, abs=0.01)


@pytest.mark.parametrize("ties", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("n", [60, 200, 600])
def test_at_the_limit_few_pass(n: int, ties: float) -> None:
    """Of candidates that lose exactly the limit, about 5 % pass at most: a share of the items ties, the others flip."""
    source, limit, wrong, trials = np.random.default_rng(n), 0.05, 0, 2000
    for _ in range(trials):
        tied = source.random(n) < ties
        lost = np.where(tied, 2 * limit, limit)  # half is lost where an item ties
        hit = source.random(n) < lost
        wrong += shared_drop(np.where(hit, np.where(tied, 0.5, 1.0), 0.0), margin=limit).verdict == "PASS"
    assert wrong / trials <= 0.05 + 3 * (0.05 * 0.95 / trials) ** 0.5 + 0.01


@settings(max_examples=50, deadline=None)
@given(values=st.lists(SHARES, min_size=2, max_size=60), clusters=st.integers(2, 20))
def test_bounds_over_clusters_enclose_the_mean(values: list[float], clusters: int) -> None:
    """Whatever ties, levels and drops over clusters stay within their range."""
    sample = np.asarray(values)
    labels = np.arange(sample.size) % clusters
    drop = clustered_drop(sample, labels, margin=0.1)
    assert -1 <= drop.lower <= drop.drop + 1e-9 <= drop.upper + 2e-9 <= 1 + 1e-8
    level = mean_level(sample, clusters=labels, shares=True)
    assert level.lower <= level.mean + 1e-9 <= level.upper + 2e-9
