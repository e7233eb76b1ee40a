"""The tests behind shares: closed form against the general one, and what is known of a base of zeros."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import graded_recovery, retained_items
from harness.stats.contrast import contrast_z
from harness.stats.share_tests import RatioTest, ScoreTest, UnseenTest


@given(
    both=st.integers(0, 200),
    lost=st.integers(0, 60),
    won=st.integers(0, 60),
    neither=st.integers(0, 200),
    share=st.floats(0.3, 1.8),
)
@settings(max_examples=200, deadline=None)
def test_nam_and_blackwelder_is_the_score_test(both: int, lost: int, won: int, neither: int, share: float) -> None:
    """Their closed form is the score test of candidate - r baseline over the four outcomes of two models."""
    n = both + lost + won + neither
    if both + lost == 0:
        return
    test = RatioTest(n=n, base=(both + lost) / n, candidate=(both + won) / n, lost=lost / n, won=won / n)
    z = contrast_z([both, lost, won, neither], [1 - share, -share, 1.0, 0.0])
    assert test.statistic(share) == pytest.approx(z, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("clusters", [None, np.arange(300) // 5])
def test_a_base_of_zeros_is_the_other_question(clusters: np.ndarray | None) -> None:
    """candidate / baseline has the bounds of a share of the gain over a base that gets nothing."""
    rng = np.random.default_rng(0)
    tuned = rng.uniform(0.2, 0.9, size=300)
    candidate = tuned * 0.95 + rng.normal(0, 0.05, size=300)
    of_score = graded_recovery(tuned, candidate, clusters=clusters)
    of_gain = retained_items(np.zeros(300), tuned, candidate, clusters=clusters, binary=False)
    assert (of_score.lower, of_score.upper) == pytest.approx((of_gain.lower, of_gain.upper), rel=1e-9)


@pytest.mark.parametrize("scoring", [10, 30, 100])
def test_equal_scores_leave_room_by_how_many_score(scoring: int) -> None:
    """Of 100 items some score 1 and all keep it: what one unseen loss weighs depends on the mean score. The room of
    3 / (items that score) is the one that a share of so many leaves."""
    scores = np.r_[np.ones(scoring), np.zeros(100 - scoring)]
    found = graded_recovery(scores, scores)
    assert found.ratio == 1
    assert 1 - found.lower == pytest.approx(3 / scoring, rel=0.2)


def test_the_same_share_everywhere_is_no_certainty() -> None:
    """Every item keeps nine tenths exactly: Fieller's bounds shrink to a point, the ones that count do not."""
    scores = np.linspace(0.2, 0.9, 200)
    found = graded_recovery(scores, 0.9 * scores)
    assert found.own == pytest.approx((0.9, 0.9), abs=1e-6)
    assert found.lower < 0.89
    assert found.upper > 0.91


def test_a_known_span_is_narrower_and_never_wider() -> None:
    """That the base is 0 bounds what an item can bring from below, so less of a loss is left open."""
    score = np.r_[np.ones(60), np.zeros(40)]
    kept = score.copy()
    kept[0] = 0.0
    sizes = np.ones(100)
    blind = UnseenTest(gain=score, kept=kept, sizes=sizes, scale=1.0).bounds(0.05)
    knowing = UnseenTest(gain=score, kept=kept, sizes=sizes, scale=1.0, span=(0.0, 1.0)).bounds(0.05)
    assert knowing[0] > blind[0]
    assert knowing[1] <= blind[1] + 1e-9


def test_a_cluster_of_equal_answers_counts_once() -> None:
    """With a base and without one: five copies of each item prove no more than the item."""
    right = np.repeat((np.arange(40) % 2).astype(float), 5)
    labels = np.arange(200) // 5
    with_base = ScoreTest(gain=right, kept=right, labels=labels)
    without = RatioTest(n=200, base=0.5, candidate=0.5, lost=0.0, won=0.0, sides=(right, right), labels=labels)
    assert with_base.deff(0.9) == without.deff(0.9) == pytest.approx(5.1, abs=0.2)
