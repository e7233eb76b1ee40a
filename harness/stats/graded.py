"""Drops of graded metrics (F1, ROUGE, log-likelihood) over pairs: paired t, cluster-robust over clusters; where
few items changed, never narrower than Gaffke's bound, because t trusts a few small changes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.bounded import BoundedMean
from harness.stats.clusters import few_clusters
from harness.stats.decision import Decision, check_alpha, check_scale, cluster_codes, decide


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
    p_fail: float
    """One-sided p of H0: the drop is at most the margin. Under alpha exactly when the verdict is FAIL."""
    p_change: float
    """Two-sided p of H0: the mean difference is 0."""
    p_gain: float
    """One-sided p of H0: the mean difference is at least 0. Under alpha exactly when `upper` is below 0."""
    clusters: int | None = None
    warning: str | None = None
    scale: float = 1.0
    """The metric's range: no difference is larger."""
    quantile: float = math.inf
    """Of the bounds: Student's t with units - 1 degrees of freedom; where nothing varies and there are no clusters
    the normal one. Infinite for one unit."""
    unseen: tuple[float, float] | None = None
    """Few changes: Gaffke's bounds, of which and t's the wider count."""


def graded_drop(
    differences: ArrayLike,
    *,
    margin: float,
    alpha: float = 0.05,
    clusters: ArrayLike | None = None,
    scale: float = 1.0,
) -> GradedDrop:
    """Judge the mean of `differences`, [n], baseline minus candidate of a higher-is-better metric.

    The bounds are Student's t; with fewer than `FEW_CHANGES` items (clusters) changed, the wider of t and
    Gaffke's (`harness.stats.bounded`), which knows only that no difference exceeds `scale` or the largest seen.
    Ties everywhere are not certainty: the bounds then lie scale * q^2 / (units + q^2) around the mean, as for no
    flips of a right-or-wrong metric (q normal, or t with G - 1 over clusters). `scale` is the metric's range, so
    give it where that is not 1 (a log-likelihood). One unit decides nothing: its bounds are infinite. Raises
    ValueError for values that are not finite, no values, or a margin or scale that is not positive.
    """
    check_alpha(alpha)
    check_scale(scale)
    if not (math.isfinite(margin) and margin > 0):
        raise ValueError(f"margin: expected a positive number, got {margin}")
    sample = np.asarray(differences, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0 or not np.isfinite(sample).all():
        raise ValueError("graded_drop: expected a list of finite differences with at least one entry")
    clustered = clusters is not None
    labels = np.arange(sample.size) if clusters is None else cluster_codes(clusters, sample.size, "graded_drop")
    most = max(scale, float(np.abs(sample).max()))
    spread = BoundedMean.of(sample, labels, low=-most, high=most, scale=scale, clustered=clustered)
    lower, upper = spread.bounds(alpha)
    mean, se = spread.mean, spread.se
    units = spread.units
    warning = few_clusters(units) if clustered else None
    if units == 1:
        warning = warning or "one item proves nothing about another"
    return GradedDrop(
        n=sample.size,
        margin=margin,
        alpha=alpha,
        drop=mean,
        se=se,
        lower=lower,
        upper=upper,
        t=(mean - margin) / se if se > 0 else 0.0,
        verdict=decide(lower, upper, margin, ceiling=True),
        clusters=units if clustered else None,
        warning=warning,
        scale=scale,
        quantile=spread.quantile(alpha),
        unseen=spread.unseen_bounds(alpha),
        p_fail=spread.p_above(margin),
        p_gain=spread.p_below(0.0),
        p_change=min(1.0, 2 * min(spread.p_above(0.0), spread.p_below(0.0))),
    )
