"""Bounds of one variant's own level (an accuracy, a mean score), for floors and ceilings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.decision import normal_quantile, t_quantile


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
        return MeanLevel(
            mean=mean,
            lower=lower,
            upper=upper,
            n=n,
            clusters=groups,
            quantile=z,
            variance=variance,
            effective=effective,
        )
    half = quantile * math.sqrt(variance)
    if variance == 0:
        quantile = normal_quantile(1 - alpha)
        half = max(1.0, abs(mean)) * quantile * quantile / (units + quantile * quantile)
    return MeanLevel(
        mean=mean, lower=mean - half, upper=mean + half, n=n, clusters=groups, quantile=quantile, variance=variance
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
    return max(0.0, centre - half), min(1.0, centre + half)
