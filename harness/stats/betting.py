"""Stopping early, only to FAIL: a test by betting that may be looked at after every item. Never gives a PASS.

A gambler bets that the mean drop is above the margin m. Each value D in [-1, 1] multiplies the stake by
1 + lambda (D - m); while the mean is at most m no lambda makes money on average, so wealth reaches 1 / alpha
with chance at most alpha, however often one looks (Ville 1939; Waudby-Smith and Ramdas, JRSS B 86, 2024).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.decision import check_alpha, check_margin, cluster_codes

BETS = 16
"""Stakes that are played side by side; the wealth is their average."""
SMALLEST, LARGEST = 0.02, 1.0
MOST_AT_RISK = 0.99
"""Share of the wealth that the worst value, -1, may cost."""


class BettingTest:
    """The anytime-valid test of H0: mean drop <= margin, fed one unit (item or cluster) after another.

    Feed units in an order fixed before the run and not chosen by their values. `crossed` stays once it is set:
    later values cannot take a FAIL back.
    """

    def __init__(self, *, margin: float, alpha: float = 0.05) -> None:
        """Raises ValueError for a margin or alpha out of range."""
        check_margin(margin)
        check_alpha(alpha)
        self.margin = margin
        self.alpha = alpha
        self.taken = 0
        """Units seen."""
        self.crossed: int | None = None
        """Units after which wealth first reached 1 / alpha; None while it has not."""
        self.highest = 1.0
        """The greatest wealth seen."""
        self._stakes = np.minimum(np.geomspace(SMALLEST, LARGEST, BETS), MOST_AT_RISK / (1 + margin))
        self._logs = np.zeros(BETS)

    @property
    def wealth(self) -> float:
        """Average over the stakes, 1 before the first value."""
        return float(self.wealths.mean())

    @property
    def stakes(self) -> NDArray[np.float64]:
        """The shares of the wealth that are staked, [BETS]."""
        return self._stakes.copy()

    @property
    def wealths(self) -> NDArray[np.float64]:
        """The wealth of each stake, [BETS], 1 before the first value."""
        wealths: NDArray[np.float64] = np.exp(self._logs)
        return wealths

    @property
    def failed(self) -> bool:
        return self.crossed is not None

    @property
    def p(self) -> float:
        """Anytime-valid p-value: 1 / the greatest wealth seen. At most alpha exactly when `failed`."""
        return min(1.0, 1.0 / self.highest)

    def take(self, values: ArrayLike, *, weights: ArrayLike | None = None) -> NDArray[np.float64]:
        """Feed the next values, one or [k], baseline minus candidate, 1 the worst; gives the wealth after each, [k].

        `weights`: [k] in (0, 1], for clusters of unlike size (`cluster_values`); they scale what is staked.
        Raises ValueError for a value outside [-1, 1] (a graded metric with another range cannot be bet on) or
        weights that do not fit.
        """
        drops = np.atleast_1d(np.asarray(values, dtype=np.float64))
        if drops.ndim != 1 or not (np.abs(drops) <= 1).all():
            raise ValueError("BettingTest: expected differences from -1 to 1")
        shares = np.ones_like(drops) if weights is None else np.atleast_1d(np.asarray(weights, dtype=np.float64))
        if shares.shape != drops.shape or not ((shares > 0) & (shares <= 1)).all():
            raise ValueError("BettingTest: expected one weight above 0 and up to 1 for each value")
        gains = np.log1p(np.outer(shares * (drops - self.margin), self._stakes))
        logs = self._logs + np.cumsum(gains, axis=0)
        path: NDArray[np.float64] = np.exp(logs).mean(axis=1)
        if drops.size:
            self._logs = logs[-1]
            self.highest = max(self.highest, float(path.max()))
        over = np.flatnonzero(path >= 1 / self.alpha)
        if self.crossed is None and over.size:
            self.crossed = self.taken + int(over[0]) + 1
        self.taken += drops.size
        return path


def cluster_values(
    differences: ArrayLike, clusters: ArrayLike, *, largest: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Whole clusters as units: (mean difference, size over the largest size), each [G] by first appearance.

    With these weights the test is of the mean over items, as the full test's, not of the mean over clusters:
    size times mean is the cluster's sum. `largest`: the size of the plan's largest cluster, which must be given
    where only some of the clusters are at hand. Raises ValueError for lengths that do not fit or a larger cluster.
    """
    sample = np.asarray(differences, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError("cluster_values: expected a list of differences with at least one entry")
    codes = cluster_codes(clusters, sample.size, "cluster_values")
    _, first = np.unique(codes, return_index=True)
    order = np.argsort(first)
    sizes = np.bincount(codes)[order]
    most = int(sizes.max()) if largest is None else largest
    if sizes.max() > most:
        raise ValueError(f"cluster_values: a cluster has {sizes.max()} items, largest says {most}")
    means = np.bincount(codes, weights=sample)[order] / sizes
    return np.clip(means, -1.0, 1.0) if np.abs(sample).max() <= 1 else means, sizes / most
