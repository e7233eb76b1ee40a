"""What a plan promises, held against the gate: at the promised limit the real bound passes about 80 times of 100."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.stats import Decision, certifiable_drop, clustered_drop, graded_drop, mean_level, pass_probability
from harness.stats.promise import (
    Sample,
    certified_drop,
    certified_level,
    certified_loss,
    clustered_sample,
    factor_certifying,
    items_certifying,
)

SIMS = 250
ABOUT = (0.7, 0.9)
"""The promise is good to about five points, and 250 simulations to another five (two standard errors)."""


@pytest.mark.parametrize("discordance", [0.01, 0.036, 0.079, 0.2])
@pytest.mark.parametrize("n", [100, 300, 800])
def test_independent_items_exactly(n: int, discordance: float) -> None:
    """By adding up every outcome: 80 % at the promise and less below it. A single count can be worth 12 points."""
    promise = certified_drop(n, discordance=discordance)
    assert 0.8 <= pass_probability(n, margin=promise, discordance=discordance) < 0.92
    assert pass_probability(n, margin=0.998 * promise, discordance=discordance) < 0.8
    needed = items_certifying(promise, discordance=discordance)
    assert pass_probability(needed, margin=promise, discordance=discordance) >= 0.8
    assert needed < 1.15 * n + 5


def test_many_flips_go_by_the_formula() -> None:
    """Where the normal formula is right within a point, it is used; the two meet."""
    n = 3000
    assert certified_drop(n, discordance=0.2) == certifiable_drop(n, discordance=0.2)
    assert certified_drop(n, discordance=0.066) == pytest.approx(certifiable_drop(n, discordance=0.066), rel=0.02)
    assert certified_drop(2, discordance=0.1) > 0.5


def flips(clusters: int, size: int, d: float, icc: float) -> NDArray[np.float64]:
    """[SIMS, n] of -1, 0 and 1 without a true drop; two items of a cluster correlate by `icc`."""
    rng = np.random.default_rng([clusters, size, int(1000 * d), int(10 * icc)])
    shape = (SIMS, clusters * size)
    common = np.repeat(rng.random((SIMS, clusters)), size, axis=1)
    u = np.where(rng.random(shape) < math.sqrt(icc), common, rng.random(shape))
    return np.where(u < d / 2, 1.0, np.where(u < d, -1.0, 0.0))


@pytest.mark.parametrize(
    ("clusters", "size", "d", "icc"),
    [(40, 5, 0.036, 0.3), (200, 5, 0.036, 0.0), (200, 5, 0.079, 0.3), (100, 10, 0.2, 1.0), (200, 4, 0.2, 0.0)],
)
def test_clusters_by_simulation(clusters: int, size: int, d: float, icc: float) -> None:
    """Few changed clusters, many, and in between. The last certifies what its items do: nothing is unseen there."""
    labels = np.arange(clusters * size) // size
    promise = certified_loss(clustered_sample([size] * clusters, discordance=d, correlation=icc))
    found = [clustered_drop(each, labels, margin=promise).verdict for each in flips(clusters, size, d, icc)]
    assert ABOUT[0] < found.count(Decision.PASS) / SIMS < ABOUT[1]


def test_the_old_promise_was_too_large() -> None:
    """Without the unseen cluster the gate passes almost never at what was promised: the fault this module mends."""
    labels = np.arange(200) // 5
    promise = certifiable_drop(200, discordance=0.036)
    found = [clustered_drop(each, labels, margin=promise).verdict for each in flips(40, 5, 0.036, 0.0)]
    assert found.count(Decision.PASS) / SIMS < 0.1


@pytest.mark.parametrize(("sizes", "icc"), [((1, 1, 1, 2, 2, 30) * 12, 0.0), ((1, 4, 10) * 40, 0.3)])
def test_clusters_of_unlike_size(sizes: tuple[int, ...], icc: float) -> None:
    """The size of a cluster is in the error and in the chance that it changes."""
    d, labels = 0.079, np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(7)
    common, own = rng.random((SIMS, len(sizes)))[:, labels], rng.random((SIMS, labels.size))
    u = np.where(rng.random(own.shape) < math.sqrt(icc), common, own)
    data = np.where(u < d / 2, 1.0, np.where(u < d, -1.0, 0.0))
    sample = clustered_sample(sizes, discordance=d, correlation=icc)
    changed = np.mean([(np.bincount(labels, weights=each) != 0).sum() for each in data])
    assert sample.changed == pytest.approx(float(changed), rel=0.05)
    assert sample.error == pytest.approx(float(data.mean(axis=1).std()), rel=0.15)
    promise = certified_loss(sample)
    found = [clustered_drop(each, labels, margin=promise).verdict for each in data]
    assert ABOUT[0] < found.count(Decision.PASS) / SIMS < ABOUT[1] + 0.05


AMOUNTS: dict[str, Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]] = {
    "all of the range": lambda rng, shape: rng.beta(0.8, 0.8, shape),
    "a little": lambda rng, shape: rng.uniform(0, 0.1, shape),
    "long tail": lambda rng, shape: np.minimum(1.0, rng.exponential(0.1, shape)),
}


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize(("n", "p"), [(200, 0.1), (500, 0.1), (400, 0.4)])
def test_graded_metrics_by_simulation(amount: str, n: int, p: float) -> None:
    """Under 50 changed items, about 50, and many."""
    rng = np.random.default_rng([n, int(100 * p), len(amount)])
    shape = (SIMS, n)
    sizes = AMOUNTS[amount](rng, shape)
    data = np.where(rng.random(shape) < p, sizes * np.sign(rng.random(shape) - 0.5), 0.0)
    error = math.sqrt(p * float((sizes**2).mean()) / n)
    promise = certified_loss(Sample(items=n, units=n, error=error, changed=p * n))
    found = [graded_drop(each, margin=promise).verdict for each in data]
    assert ABOUT[0] < found.count(Decision.PASS) / SIMS < ABOUT[1]


@pytest.mark.parametrize(("clusters", "size", "limit"), [(30, 4, 0.8), (200, 5, 0.8), (60, 10, 0.9)])
def test_a_floor_over_clusters_by_simulation(clusters: int, size: int, limit: float) -> None:
    """From the share promised on, a floor passes about as often; independent items go by Wilson's bound alone."""
    truth = certified_level(limit, [size] * clusters, clustered=True)
    rng, labels = np.random.default_rng([clusters, size]), np.arange(clusters * size) // size
    found = [mean_level(rng.random(labels.size) < truth, clusters=labels).lower > limit for _ in range(SIMS)]
    assert ABOUT[0] < np.mean(found) < ABOUT[1] + 0.05
    assert truth > certified_level(limit, [1] * clusters * size, clustered=False)


def test_an_unseen_cluster_alone() -> None:
    """No change at all: Gaffke's bound is 1 - alpha^(1/G), that of Clopper and Pearson for none in G."""
    sample = Sample(items=300, units=60, error=1e-9, changed=0)
    assert certified_loss(sample) == pytest.approx(1 - 0.05 ** (1 / 60), rel=1e-4)
    assert certified_loss(Sample(items=300, units=60, error=1e-9, changed=0, scale=4.0)) == pytest.approx(
        4 * (1 - 0.05 ** (1 / 60)), rel=1e-4
    )


def test_more_units_certify_less_and_the_factor_finds_them() -> None:
    """`factor_certifying` inverts `certified_loss`; one unit certifies nothing; some limits are out of reach."""
    sample = clustered_sample([5] * 60, discordance=0.05, correlation=0.2)
    losses = [certified_loss(sample.times(factor)) for factor in (1, 2, 5, 20, 200)]
    assert losses == sorted(losses, reverse=True)
    for loss, factor in zip(losses, (1, 2, 5, 20, 200), strict=True):
        found = factor_certifying(sample, loss)
        assert found is not None
        assert found == pytest.approx(factor, rel=0.01)
    assert certified_loss(clustered_sample([40], discordance=0.05)) == 1.0
    assert certified_loss(Sample(items=1, units=1, error=0.1, changed=1)) == math.inf
    assert factor_certifying(sample, 1e-5) is None
