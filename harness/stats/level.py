"""Bounds of one variant's own level (an accuracy, a mean score), for floors and ceilings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.decision import normal_quantile, t_quantile, unseen_quantile, unseen_share, upper_tail


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


def mean_level(values: ArrayLike, *, alpha: float = 0.05, clusters: ArrayLike | None = None) -> MeanLevel:
    """Level of a per-item metric over `values`, [n].

    Zeros and ones: Wilson's score bounds (1927), with n divided by the design effect where `clusters` ([n]
    labels) are given. Other values: t bounds, cluster-robust where clustered. Equal values everywhere get the
    width of an unseen share of z^2/(n + z^2), because identical answers prove nothing about the next one.

    Raises ValueError for no values or values that are not finite.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError("mean_level: expected at least one finite value")
    n = sample.size
    labels = None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    groups = None if labels is None else int(labels.max()) + 1
    units = n if groups is None else groups
    mean = float(sample.mean())
    if units == 1:
        return MeanLevel(mean=mean, lower=-math.inf, upper=math.inf, n=n, clusters=groups)
    quantile = t_quantile(1 - alpha, units - 1)
    variance = _variance_of_mean(sample, labels)
    binary = bool(np.isin(sample, (0.0, 1.0)).all())
    if binary:
        z = normal_quantile(1 - alpha) if groups is None else quantile
        independent = mean * (1 - mean) / n
        deff = 1.0 if groups is None or independent == 0 else max(1.0, variance / independent)
        effective = n / deff if independent > 0 else units
        lower, upper = _wilson(mean, effective, z)
        degrees = None if groups is None else units - 1

        def tail(distance: float, limit: float) -> float:
            error = math.sqrt(max(0.0, limit * (1 - limit)) / effective)
            return upper_tail(distance / error if error > 0 else math.copysign(math.inf, distance or -1.0), degrees)

        level = MeanLevel(
            mean=mean,
            lower=lower,
            upper=upper,
            n=n,
            clusters=groups,
            quantile=z,
            variance=variance,
            effective=effective,
        )
        return _with_p(level, tail)
    half, scale = quantile * math.sqrt(variance), max(1.0, abs(mean))
    if variance == 0:
        quantile = normal_quantile(1 - alpha)
        half = scale * unseen_share(units, quantile)

    def graded_tail(distance: float, limit: float) -> float:
        del limit
        if variance == 0:
            return upper_tail(unseen_quantile(distance / scale, units))
        return upper_tail(distance / math.sqrt(variance), units - 1)

    level = MeanLevel(
        mean=mean, lower=mean - half, upper=mean + half, n=n, clusters=groups, quantile=quantile, variance=variance
    )
    return _with_p(level, graded_tail)


def _with_p(level: MeanLevel, tail: Callable[[float, float], float]) -> MeanLevel:
    """`tail`: p of a mean beyond a limit, from the distance and the limit."""
    return replace(
        level,
        p_below=lambda limit: tail(limit - level.mean, limit),
        p_above=lambda limit: tail(level.mean - limit, limit),
    )


def _variance_of_mean(sample: NDArray[np.float64], labels: NDArray[np.int64] | None) -> float:
    """Of independent values, or cluster-robust with the G/(G-1) factor."""
    n = sample.size
    if labels is None:
        return float(sample.var(ddof=1)) / n
    sums = np.bincount(labels, weights=sample - sample.mean())
    groups = sums.size
    return groups / (groups - 1) * float((sums**2).sum()) / n**2


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's score interval for a share, one-sided bounds."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    lower, upper = max(0.0, centre - half), min(1.0, centre + half)
    return (0.0 if share == 0 else lower), (1.0 if share == 1 else upper)  # not what rounding makes of them
