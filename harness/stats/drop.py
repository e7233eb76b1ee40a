"""Drops of right-or-wrong metrics over paired items: Tango's score bound, also over clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.decision import Decision, check_alpha, check_margin, normal_quantile, t_quantile

FEW_CLUSTERS = 40
"""Below this many clusters the cluster-robust variance leans to the optimistic side."""


@dataclass(frozen=True, kw_only=True)
class PairedDrop:
    """A paired drop with one-sided bounds at 1 - alpha each, and its verdict against `margin`."""

    n: int
    right_to_wrong: int
    wrong_to_right: int
    margin: float
    alpha: float
    drop: float
    lower: float
    upper: float
    z: float
    """Tango's statistic at the margin: below -quantile is PASS, above it FAIL."""
    verdict: Decision
    n_effective: float
    deff: float = 1.0
    """Design effect: cluster-robust over independent variance, at least 1."""
    clusters: int | None = None
    warning: str | None = None

    @property
    def flips(self) -> int:
        return self.right_to_wrong + self.wrong_to_right

    @property
    def discordance(self) -> float:
        """Share of pairs whose outcome changed."""
        return self.flips / self.n

    @property
    def mcnemar_midp(self) -> float:
        """McNemar's mid-p, a diagnostic that decides nothing."""
        return mcnemar_midp(self.right_to_wrong, self.wrong_to_right)


def tango_z(n: float, b: float, c: float, difference: float) -> float:
    """Tango's score statistic for a paired difference (Statistics in Medicine 17, 1998). 0/0 is 0.

    `b` pairs went from right to wrong, `c` from wrong to right, of `n`; `difference` is the hypothesised drop.
    """
    quadratic = 2 * n
    linear = difference * (2 * n - b + c) - (b + c)
    constant = -c * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear * linear - 4 * quadratic * constant))
    q = max(0.0, (-linear + root) / (2 * quadratic))
    variance = n * (2 * q + difference * (1 - difference))
    numerator = b - c - n * difference
    if variance <= 0:
        return 0.0 if abs(numerator) < 1e-12 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def _bound(n: float, b: float, c: float, target: float) -> float:
    """The difference at which z equals `target`; z falls as the difference grows."""
    low, high = -1.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        if tango_z(n, b, c, middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def paired_drop(
    n: int, right_to_wrong: int, wrong_to_right: int, *, margin: float, alpha: float = 0.05
) -> PairedDrop:
    """Judge a paired drop of a right-or-wrong metric as non-inferiority (H0: drop >= margin).

    PASS iff z(margin) < -z_{1-alpha}, FAIL iff z(margin) > z_{1-alpha}. All amounts are fractions.
    Raises ValueError for counts that do not fit or a margin or alpha out of range.
    """
    for name, value in (("n", n), ("right_to_wrong", right_to_wrong), ("wrong_to_right", wrong_to_right)):
        if value != int(value) or value < 0:
            raise ValueError(f"{name}: expected a whole number from 0, got {value}")
    if n < 1 or right_to_wrong + wrong_to_right > n:
        raise ValueError(f"{right_to_wrong} + {wrong_to_right} flips do not fit n = {n}")
    check_margin(margin)
    check_alpha(alpha)
    return _judge(
        n, right_to_wrong, wrong_to_right, margin, alpha, quantile=normal_quantile(1 - alpha), effective=n
    )


def _judge(
    n: int,
    b: int,
    c: int,
    margin: float,
    alpha: float,
    *,
    quantile: float,
    effective: float,
    clusters: int | None = None,
    warning: str | None = None,
) -> PairedDrop:
    """The verdict with all counts shrunk to the effective sample size."""
    shrink = effective / n
    m, few_b, few_c = n * shrink, b * shrink, c * shrink
    z = tango_z(m, few_b, few_c, margin)
    if z < -quantile:
        verdict = Decision.PASS
    elif z > quantile:
        verdict = Decision.FAIL
    else:
        verdict = Decision.INCONCLUSIVE
    return PairedDrop(
        n=n,
        right_to_wrong=b,
        wrong_to_right=c,
        margin=margin,
        alpha=alpha,
        drop=(b - c) / n,
        lower=_bound(m, few_b, few_c, quantile),
        upper=_bound(m, few_b, few_c, -quantile),
        z=z,
        verdict=verdict,
        n_effective=effective,
        deff=n / effective,
        clusters=clusters,
        warning=warning,
    )


def clustered_drop(
    differences: ArrayLike, clusters: ArrayLike, *, margin: float, alpha: float = 0.05
) -> PairedDrop:
    """`paired_drop` where several items lean together (one passage, one prompt sampled repeatedly).

    `differences`: [n] of 1 (right to wrong), -1 (wrong to right) and 0; `clusters`: [n] labels. The counts are
    divided by the design effect max(1, V_CR / V_iid), the quantile is t with G - 1 degrees of freedom; with no
    flip the effective size is G. One cluster decides nothing. Raises ValueError for other differences or lengths.
    """
    check_margin(margin)
    check_alpha(alpha)
    sample = np.asarray(differences, dtype=np.float64)
    labels = np.unique(np.asarray(clusters), return_inverse=True)[1]
    if sample.ndim != 1 or sample.size == 0 or labels.shape != sample.shape:
        raise ValueError("clustered_drop: expected two arrays of one length, not empty")
    if not np.isin(sample, (-1.0, 0.0, 1.0)).all():
        raise ValueError("clustered_drop: differences must be -1, 0 or 1")
    groups = int(labels.max()) + 1
    b, c, n = int((sample > 0).sum()), int((sample < 0).sum()), sample.size
    if groups == 1:
        return PairedDrop(
            n=n, right_to_wrong=b, wrong_to_right=c, margin=margin, alpha=alpha, drop=(b - c) / n, lower=-1.0,
            upper=1.0, z=0.0, verdict=Decision.INCONCLUSIVE, n_effective=1.0, deff=float(n), clusters=1,
            warning="all items lie in one cluster, which proves nothing about another",
        )  # fmt: skip
    warning = f"only {groups} clusters; under {FEW_CLUSTERS} the bounds are optimistic" if groups < FEW_CLUSTERS else None
    return _judge(
        n,
        b,
        c,
        margin,
        alpha,
        quantile=t_quantile(1 - alpha, groups - 1),
        effective=n / design_effect(sample, labels) if b + c else float(groups),
        clusters=groups,
        warning=warning,
    )


def cluster_variance(sample: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Cluster-robust variance of the mean with the G/(G-1) factor; `labels`: [n] in 0..G-1."""
    sums = np.bincount(labels, weights=sample - sample.mean())
    groups = sums.size
    return groups / (groups - 1) * float((sums**2).sum()) / sample.size**2


def design_effect(sample: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """max(1, cluster-robust / independent variance of the mean); 1 where nothing varies."""
    independent = float(sample.var(ddof=1)) / sample.size
    return 1.0 if independent == 0 else max(1.0, cluster_variance(sample, labels) / independent)


def mcnemar_midp(right_to_wrong: int, wrong_to_right: int) -> float:
    """McNemar's exact test, two-sided, mid-p (Fagerland et al. 2013); 1 with no flips."""
    from scipy.special import bdtr

    flips, fewer = right_to_wrong + wrong_to_right, min(right_to_wrong, wrong_to_right)
    if flips == 0:
        return 1.0
    point = math.exp(
        math.lgamma(flips + 1) - math.lgamma(fewer + 1) - math.lgamma(flips - fewer + 1) - flips * math.log(2)
    )
    return min(1.0, 2 * float(bdtr(fewer, flips, 0.5)) - point)
