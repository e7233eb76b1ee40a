"""Correlated items: the variance of a mean or a ratio over independent units, and what it costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.stats.decision import TIED

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
FEW_CLUSTERS = 40
"""Below this many clusters the cluster-robust variance leans to the optimistic side."""


def few_clusters(groups: int) -> str | None:
    """What to say of this number of clusters, if anything."""
    if groups == 1:
        return "all items are in one cluster, which proves nothing about another"
    if groups < FEW_CLUSTERS:
        return f"only {groups} clusters; under {FEW_CLUSTERS} the bounds are optimistic"
    return None


def variance_of_sum(squares: float, units: int) -> float:
    """Cluster-robust: G/(G-1) times the squared deviations of the sums of G units. That of a mean or a ratio is this
    over the squared number of items, or sum of weights."""
    return units / (units - 1) * squares


def cluster_squares(sample: Floats, labels: Labels) -> float:
    """Sum over clusters of the squared sum of their deviations from the mean; `labels`: [n] in 0..G-1."""
    sums = np.bincount(labels, weights=sample - sample.mean())
    return float((sums**2).sum())


def residual_squares(totals: Floats, weights: Floats, mean: float) -> float:
    """Sum over units, [G], of (total - mean * weight)^2."""
    residuals = totals - mean * weights
    return float((residuals**2).sum())


def cluster_variance(sample: Floats, labels: Labels) -> float:
    """Cluster-robust variance of the mean; `labels`: [n] in 0..G-1."""
    return variance_of_sum(cluster_squares(sample, labels), int(labels.max()) + 1) / sample.size**2


def independent_variance(sample: Floats) -> float:
    """Variance of the mean of independent values."""
    return float(sample.var(ddof=1)) / sample.size


def design_effect(sample: Floats, labels: Labels) -> float:
    """max(1, cluster-robust / independent variance of the mean); 1 where nothing varies but by rounding."""
    independent, rounding = independent_variance(sample), (TIED * float(np.abs(sample).max())) ** 2 / sample.size
    return 1.0 if independent <= rounding else max(1.0, cluster_variance(sample, labels) / independent)
