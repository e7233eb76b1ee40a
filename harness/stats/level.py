"""Bounds of one variant's own level (an accuracy, a mean score), for floors and ceilings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.bounded import BoundedMean
from harness.stats.clusters import few_clusters
from harness.stats.decision import check_alpha, cluster_codes, normal_quantile, upper_tail

P = Callable[[float], float]


@dataclass(frozen=True, kw_only=True)
class MeanLevel:
    """A mean with one-sided bounds at 1 - alpha each."""

    mean: float
    lower: float
    upper: float
    n: int
    clusters: int | None
    quantile: float = math.inf
    """Of the bounds: normal for zeros and ones and where nothing varies, else Student's t with units - 1."""
    variance: float = math.nan
    """Of the mean, cluster-robust where there are clusters."""
    effective: float = math.nan
    """Zeros and ones: n over the design effect; the clusters where nothing varies."""
    p_below: Callable[[float], float] = field(default=lambda limit: 1.0, repr=False, compare=False)
    """From a limit to the one-sided p of H0: the mean is at least the limit. Under alpha exactly when `upper` lies
    below the limit."""
    p_above: Callable[[float], float] = field(default=lambda limit: 1.0, repr=False, compare=False)
    """The same of H0: the mean is at most the limit, and `lower`."""
    unseen: tuple[float, float] | None = None
    """Few unlike the commonest value: Gaffke's bounds, of which and the others the wider count."""
    own: tuple[float, float] | None = None
    """The others, where `unseen` is given."""
    warning: str | None = None


def mean_level(
    values: ArrayLike, *, alpha: float = 0.05, clusters: ArrayLike | None = None, shares: bool = False
) -> MeanLevel:
    """Level of a per-item metric over `values`, [n].

    Zeros and ones: Wilson's score bounds (1927), with n divided by the design effect where `clusters` ([n]
    labels) are given; `shares`: also where items are right by a share between, for which Wilson's variance is the
    larger. Other values: t bounds, cluster-robust where clustered. Where few items (zeros and ones: few
    clusters) differ from the commonest value, no bound is narrower than Gaffke's over the range from 0 to 1, or the
    range seen where that is larger. Equal values everywhere get the width of an unseen share of z^2/(n + z^2),
    because identical answers prove nothing about the next one. One item or cluster decides nothing.

    Raises ValueError for no values or values that are not finite.
    """
    check_alpha(alpha)
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError("mean_level: expected at least one finite value")
    n, clustered = sample.size, clusters is not None
    labels = np.arange(n) if clusters is None else cluster_codes(clusters, n, "mean_level")
    low, high = min(0.0, float(sample.min())), max(1.0, float(sample.max()))
    spread = BoundedMean.of(
        sample, labels, low=low, high=high, scale=max(1.0, abs(float(sample.mean()))), clustered=clustered
    )
    quantile, effective = spread.quantile(alpha), math.nan
    p_below: P = spread.p_below
    p_above: P = spread.p_above
    lower, upper = spread.own_bounds(alpha)
    unseen = spread.unseen_bounds(alpha)
    right_or_wrong = bool(np.isin(sample, (0.0, 1.0)).all()) or (shares and low == 0.0 and high == 1.0)
    if spread.units > 1 and right_or_wrong:
        quantile = quantile if clustered else normal_quantile(1 - alpha)
        unseen = unseen if clustered else None
        independent = spread.mean * (1 - spread.mean) / n
        deff = max(1.0, spread.se**2 / independent) if clustered and independent > 0 else 1.0
        effective = n / deff if independent > 0 else float(spread.units)
        lower, upper = _wilson(spread.mean, effective, quantile)
        p_below, p_above = _score_p(spread.mean, effective, spread.degrees)
    own = lower, upper
    if unseen is not None:
        lower, upper = min(lower, unseen[0]), max(upper, unseen[1])
        p_below, p_above = _greater(p_below, spread.p_below), _greater(p_above, spread.p_above)
    warning = few_clusters(spread.units) if clustered else None
    if spread.units == 1:
        warning = warning or "one item proves nothing about another"
    return MeanLevel(
        mean=spread.mean,
        lower=lower,
        upper=upper,
        n=n,
        clusters=spread.units if clustered else None,
        quantile=quantile,
        variance=spread.se**2,
        effective=effective,
        unseen=unseen,
        own=None if unseen is None else own,
        p_below=p_below,
        p_above=p_above,
        warning=warning,
    )


def _score_p(share: float, n: float, degrees: int | None) -> tuple[P, P]:
    """From a limit to the p below and above it, by the statistic that Wilson's bounds solve."""

    def tail(distance: float, limit: float) -> float:
        error = math.sqrt(max(0.0, limit * (1 - limit)) / n)
        return upper_tail(distance / error if error > 0 else math.copysign(math.inf, distance or -1.0), degrees)

    return lambda limit: tail(limit - share, limit), lambda limit: tail(share - limit, limit)


def _greater(one: P, other: P) -> P:
    return lambda limit: max(one(limit), other(limit))


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's score interval for a share, one-sided bounds."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    lower, upper = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if share == 0 else lower), (1.0 if share == 1 else upper)  # not what rounding makes of them
