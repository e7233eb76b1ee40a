"""Drops of graded metrics (F1, ROUGE, log-likelihood) over paired items: paired t, cluster-robust where clustered."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.decision import Decision, below, check_alpha, normal_quantile, t_quantile
from harness.stats.drop import FEW_CLUSTERS, cluster_variance


@dataclass(frozen=True, kw_only=True)
class GradedDrop:
    """Mean paired loss with one-sided bounds at 1 - alpha each, in the metric's own unit."""

    n: int
    margin: float
    alpha: float
    drop: float
    se: float
    lower: float
    upper: float
    t: float
    """(drop - margin) / se; 0 where nothing varies."""
    verdict: Decision
    clusters: int | None = None
    warning: str | None = None


def graded_drop(
    differences: ArrayLike,
    *,
    margin: float,
    alpha: float = 0.05,
    clusters: ArrayLike | None = None,
    scale: float = 1.0,
) -> GradedDrop:
    """Judge the mean of `differences`, [n], baseline minus candidate of a higher-is-better metric.

    Ties everywhere are not certainty: the bounds then lie scale * z^2/(units + z^2) around the mean, as for no
    flips of a right-or-wrong metric; `scale` is the metric's range. One unit decides nothing.
    Raises ValueError for values that are not finite, no values, or a margin that is not positive.
    """
    check_alpha(alpha)
    if not (math.isfinite(margin) and margin > 0):
        raise ValueError(f"margin: expected a positive number, got {margin}")
    sample = np.asarray(differences, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError("graded_drop: expected at least one finite difference")
    labels = np.arange(sample.size) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    if labels.shape != sample.shape:
        raise ValueError("graded_drop: differences and clusters differ in length")
    units = int(labels.max()) + 1
    groups = None if clusters is None else units
    mean = float(sample.mean())
    se, warning = 0.0, None
    if units == 1:
        lower, upper = -math.inf, math.inf
        warning = "one item or cluster proves nothing about another"
    elif np.ptp(sample) == 0:
        z = normal_quantile(1 - alpha)
        width = scale * z * z / (units + z * z)
        lower, upper = mean - width, mean + width
    else:
        se = math.sqrt(cluster_variance(sample, labels))
        half = t_quantile(1 - alpha, units - 1) * se
        lower, upper = mean - half, mean + half
    if groups is not None and 1 < groups < FEW_CLUSTERS:
        warning = f"only {groups} clusters; under {FEW_CLUSTERS} the bounds are optimistic"
    return GradedDrop(
        n=sample.size,
        margin=margin,
        alpha=alpha,
        drop=mean,
        se=se,
        lower=lower,
        upper=upper,
        t=(mean - margin) / se if se > 0 else 0.0,
        verdict=below(lower, upper, margin),
        clusters=groups,
        warning=warning,
    )
