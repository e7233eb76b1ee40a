"""The paired bootstrap of statistics of the whole: its bounds against exact ones, and when it decides nothing."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats.bootstrap import Floats, Sums, best_quarter, resample, summed
from harness.stats.bounded import BoundedMean


def share(sums: Floats) -> Floats:
    """Right answers over answers."""
    found: Floats = sums[..., 0] / sums[..., 1]
    return found


def flips(n: int, worse: int, better: int, clusters: np.ndarray | None = None) -> Sums:
    """n right answers, some of which each side alone gets wrong."""
    base, cand = np.ones((n, 2)), np.ones((n, 2))
    cand[:worse, 0], base[worse : worse + better, 0] = 0, 0
    return summed(base, cand, share, best=[[1, 1]], worst=[[0, 1]], clusters=clusters)


@pytest.mark.parametrize("n", [20, 100, 1000])
def test_no_change_at_all_is_no_certainty(n: int) -> None:
    """Without a flip the bound is Clopper's and Pearson's, the rule of three, not a width of zero."""
    loss = resample(flips(n, 0, 0)).loss(alpha=0.05)
    exact = 1 - 0.05 ** (1 / n)
    assert loss.value == 0
    assert loss.upper == pytest.approx(exact, rel=0.1)
    assert loss.lower == pytest.approx(-exact, rel=0.1)


@pytest.mark.parametrize(("n", "worse", "better"), [(100, 3, 0), (400, 10, 2), (1000, 30, 30)])
def test_a_mean_gets_gaffkes_bounds(n: int, worse: int, better: int) -> None:
    """For a mean, the draws with an unseen item are Gaffke's bound, which is computed otherwise."""
    drops = np.array([1.0] * worse + [-1.0] * better + [0.0] * (n - worse - better))
    mean = BoundedMean.of(drops, np.arange(n), low=-1.0, high=1.0, scale=1.0, clustered=False)
    exact = mean.unseen_bounds(0.05)
    loss = resample(flips(n, worse, better), resamples=8000).loss(alpha=0.05)
    if exact is not None:
        assert (loss.lower, loss.upper) == pytest.approx(exact, abs=0.05 * (exact[1] - exact[0]))
    assert loss.lower < loss.value < loss.upper


def test_swapped_sides_negate_the_loss() -> None:
    """Loss and gain exchange with the sides, bounds included."""
    rng = np.random.default_rng(3)
    base, cand = rng.random((80, 2)) + 0.5, rng.random((80, 2)) + 0.5
    there, back = (
        resample(summed(left, right, share, best=[[1, 1]], worst=[[0, 1]])).loss(alpha=0.05)
        for left, right in ((base, cand), (cand, base))
    )
    assert (there.value, there.lower, there.upper) == pytest.approx((-back.value, -back.upper, -back.lower))


def test_a_bound_and_its_p_decide_alike() -> None:
    """p is at most alpha exactly when the bound lies beyond the limit, for every alpha."""
    found = resample(flips(300, 30, 3))
    for alpha in (0.001, 0.01, 0.05, 0.2):
        loss = found.loss(alpha=alpha)
        for limit in np.linspace(-0.05, 0.25, 61):
            assert (loss.p_above(limit) <= alpha) == (loss.lower > limit)
            assert (loss.p_below(limit) <= alpha) == (loss.upper < limit)


def test_the_same_seed_gives_the_same_bounds() -> None:
    """A judgement can be repeated; another seed moves the bounds a little."""
    one, again, other = (resample(flips(200, 9, 4), seed=seed).loss(alpha=0.05) for seed in (1, 1, 2))
    assert (one.lower, one.upper) == (again.lower, again.upper)
    assert one.upper != other.upper
    assert one.upper == pytest.approx(other.upper, rel=0.1)


def test_rows_that_stand_for_many_items() -> None:
    """A row with a count has the bounds of as many equal rows."""
    many = flips(400, 12, 5)
    rows = np.unique(np.hstack([many.baseline, many.candidate]), axis=0, return_counts=True)
    few = Sums(
        baseline=rows[0][:, :2], candidate=rows[0][:, 2:], of=share, higher_is_better=True,
        best=many.best, worst=many.worst, counts=rows[1].astype(float),
    )  # fmt: skip
    assert (few.units, few.changed) == (many.units, many.changed) == (400, 17)
    one, other = resample(many, resamples=6000).loss(alpha=0.05), resample(few, resamples=6000).loss(alpha=0.05)
    assert (one.value, one.lower, one.upper) == pytest.approx((other.value, other.lower, other.upper), abs=0.003)


def test_clusters_are_the_units() -> None:
    """Items that change together in clusters leave more open than items, and few clusters decide nothing."""
    apart = resample(flips(400, 40, 0)).loss(alpha=0.05)
    labels = np.repeat(np.arange(40), 10)
    together = resample(flips(400, 40, 0, labels)).loss(alpha=0.05)
    assert together.value == apart.value
    assert together.upper - together.lower > 2.5 * (apart.upper - apart.lower)
    assert "only 5 clusters" in resample(flips(400, 40, 0, np.repeat(np.arange(5), 80))).unreliable
    assert "only 10 items" in resample(flips(10, 1, 0)).unreliable


def test_more_units_than_are_drawn_are_put_together() -> None:
    """Blocks of items have the bounds of the items."""
    whole = resample(flips(3000, 90, 30)).loss(alpha=0.05)
    blocks = resample(flips(3000, 90, 30), most_units=600).loss(alpha=0.05)
    assert (blocks.lower, blocks.upper) == pytest.approx((whole.lower, whole.upper), abs=0.003)


def test_less_can_be_better_and_noise_can_inflate() -> None:
    """Of a rate of errors a rise is the loss; what noise may have added to a side is left open on its side."""
    base, cand = np.ones((500, 2)), np.ones((500, 2))
    base[5:, 0], cand[20:, 0] = 0, 0
    sums = summed(base, cand, share, best=[[0, 1]], worst=[[1, 1]], higher_is_better=False)
    loss = resample(sums).loss(alpha=0.05)
    assert loss.value == pytest.approx(0.03)
    assert 0 < loss.lower < 0.03 < loss.upper

    def added(units: Floats) -> float:
        return 0.02 if units[:, 0].sum() > 10 else 0.01

    noisy = summed(base, cand, share, best=[[0, 1]], worst=[[1, 1]], higher_is_better=False, inflation=added)
    wider = resample(noisy).loss(alpha=0.05)
    assert wider.upper == pytest.approx(loss.upper + 0.01, abs=1e-3)
    assert wider.lower == pytest.approx(loss.lower - 0.02, abs=1e-3)


def test_share_kept_and_own_value() -> None:
    """Both are bounded from the same draws; nothing can be kept of nothing."""
    found = resample(flips(500, 50, 0))
    kept, own = found.kept(alpha=0.05), found.own(alpha=0.05)
    assert kept.value == own.value == pytest.approx(0.9)
    assert 0.85 < kept.lower < 0.9 < kept.upper < 0.95
    assert 0.85 < own.lower < 0.9 < own.upper < 0.95
    nothing = summed(np.array([[0.0, 1.0]] * 30), np.array([[1.0, 1.0]] * 30), share, best=[[1, 1]], worst=[[0, 1]])
    with pytest.raises(ValueError, match="no share of it"):
        resample(nothing).kept(alpha=0.05)


def test_the_best_quarter_helps_most() -> None:
    """The rows that would raise the statistic most, averaged."""
    rows = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 4.0], [3.0, 3.0]])
    assert best_quarter(rows, share).tolist() == [[3.0, 3.0]]
    assert best_quarter(rows, share, higher_is_better=False).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("baseline", "worst", "says"),
    [
        ([[1.0, 1.0]], [[0.0, 1.0]], "one shape"),
        ([[1.0, 1.0], [np.nan, 1.0]], [[0.0, 1.0]], "finite"),
        ([[1.0, 1.0], [1.0, 1.0]], [[0.0]], "best and worst"),
    ],
)
def test_what_does_not_fit_is_refused(baseline: list[list[float]], worst: list[list[float]], says: str) -> None:
    """Tables of other shapes and numbers that are not finite."""
    with pytest.raises(ValueError, match=says):
        summed(baseline, [[1.0, 1.0], [1.0, 1.0]], share, best=[[1, 1]], worst=worst)
