"""The anytime-valid test that may only FAIL: small cases by hand, Ville's property, and how soon it stops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.stats import BettingTest, cluster_values

STAKES = [min(0.02 * 50 ** (i / 15), 0.99 / 1.02) for i in range(16)]


def _flips(rng: np.random.Generator, runs: int, n: int, *, worse: float, better: float) -> NDArray[np.float64]:
    u = rng.random((runs, n))
    return np.where(u < worse, 1.0, np.where(u < worse + better, -1.0, 0.0))


def test_three_values_by_hand() -> None:
    """The wealth after each of 1, 0 and -1 is the average over sixteen stakes of the product of gains."""
    expected, products = [], [1.0] * 16
    for value in (1.0, 0.0, -1.0):
        products = [product * (1 + stake * (value - 0.02)) for product, stake in zip(products, STAKES, strict=True)]
        expected.append(sum(products) / 16)
    test = BettingTest(margin=0.02)
    assert test.wealth == 1.0
    assert test.take([1.0, 0.0, -1.0]) == pytest.approx(expected, rel=1e-12)
    assert test.wealth == pytest.approx(expected[-1], rel=1e-12)
    assert (test.taken, test.crossed) == (3, None)
    assert test.p == pytest.approx(1 / expected[0])


def test_only_harm_stops_after_a_handful() -> None:
    """Every answer lost: the first item at which the wealth reaches 20 is the one the formula names."""
    wealth, n = 1.0, 0
    while wealth < 20:
        n += 1
        wealth = sum((1 + stake * 0.98) ** n for stake in STAKES) / 16
    test = BettingTest(margin=0.02)
    test.take(np.ones(50))
    assert test.crossed == n
    assert test.failed
    assert test.p <= 0.05


def test_one_at_a_time_equals_all_at_once() -> None:
    """However the values are cut into batches, the path and the first crossing are the same."""
    drops = _flips(np.random.default_rng(1), 1, 400, worse=0.2, better=0.02)[0]
    whole, single = BettingTest(margin=0.02), BettingTest(margin=0.02)
    path = whole.take(drops)
    steps = np.concatenate([single.take(drop) for drop in drops])
    assert steps == pytest.approx(path, rel=1e-9)
    assert whole.crossed == single.crossed is not None
    assert whole.take([]).size == 0


def test_a_fail_stays() -> None:
    """Gains after the crossing do not take it back, as they may not: the first crossing is what is claimed."""
    test = BettingTest(margin=0.02)
    test.take(np.ones(50))
    first = test.crossed
    test.take(-np.ones(500))
    assert test.wealth < 1
    assert test.crossed == first
    assert test.p <= 0.05


@pytest.mark.parametrize("discordance", [0.03, 0.10, 0.50])
def test_ville(discordance: float) -> None:
    """Exactly on the limit at most alpha of the runs ever cross, looked at after every one of 1000 items."""
    rng = np.random.default_rng(7)
    runs, margin = 1500, 0.02
    crossed = 0
    worse, better = (discordance + margin) / 2, (discordance - margin) / 2
    for drops in _flips(rng, runs, 1000, worse=worse, better=better):
        test = BettingTest(margin=margin)
        test.take(drops)
        crossed += test.failed
    assert crossed / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(("drop", "discordance", "mean"), [(0.08, 0.10, 209), (0.25, 0.30, 45)])
def test_how_soon_a_bad_candidate_is_stopped(drop: float, discordance: float, mean: float) -> None:
    """The mean number of items of 2000 at a true drop of 8 and of 25 points against a limit of 2."""
    rng = np.random.default_rng(3)
    used = []
    for drops in _flips(rng, 600, 2000, worse=(discordance + drop) / 2, better=(discordance - drop) / 2):
        test = BettingTest(margin=0.02)
        test.take(drops)
        used.append(test.crossed or 2000)
    assert np.mean(used) == pytest.approx(mean, rel=0.08)


def test_clusters_are_fed_whole() -> None:
    """Values are the clusters' means in order of first appearance, weights their sizes over the largest."""
    means, weights = cluster_values([1.0, 0.0, -1.0, 1.0, 1.0], ["b", "a", "b", "b", "a"])
    assert means == pytest.approx([1 / 3, 0.5])
    assert weights == pytest.approx([1.0, 2 / 3])
    assert cluster_values([1.0], [0], largest=4)[1] == pytest.approx([0.25])


def test_clusters_of_unlike_size_are_weighed_by_their_items() -> None:
    """A mean over items that lies on the limit does not FAIL because small clusters are the bad ones."""
    rng = np.random.default_rng(5)
    plain = weighted = 0
    for _ in range(300):
        small = rng.random(300) < 0.5
        means, weights = np.where(small, 0.2, 0.0), np.where(small, 0.1, 1.0)
        assert (means * weights).sum() / weights.sum() < 0.03
        left, right = BettingTest(margin=0.03), BettingTest(margin=0.03)
        left.take(means)
        right.take(means, weights=weights)
        plain, weighted = plain + left.failed, weighted + right.failed
    assert plain == 300
    assert weighted == 0


@pytest.mark.parametrize(
    ("values", "weights"), [([1.5], None), ([np.nan], None), ([[0.0]], None), ([0.5], [0.0]), ([0.5], [1.0, 1.0])]
)
def test_what_cannot_be_bet_on_is_refused(values: list[float], weights: list[float] | None) -> None:
    """A value outside [-1, 1] could cost more than the stake, so it is an error and never clipped."""
    with pytest.raises(ValueError, match="BettingTest: expected"):
        BettingTest(margin=0.02).take(values, weights=weights)
    with pytest.raises(ValueError, match="margin"):
        BettingTest(margin=0.0)
    with pytest.raises(ValueError, match="largest says 1"):
        cluster_values([0.0, 0.0], ["a", "a"], largest=1)
