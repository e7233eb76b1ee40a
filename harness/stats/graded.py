"""Drops of graded metrics (F1, ROUGE, log-likelihood) over pairs: paired t, cluster-robust over clusters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.decision import (
    TIED,
    Decision,
    below,
    both_tails,
    check_alpha,
    check_scale,
    cluster_codes,
    normal_quantile,
    t_quantile,
    unseen_quantile,
    unseen_share,
    upper_tail,
)
from harness.stats.drop import cluster_variance, few_clusters


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
    scale: float = 1.0
    """The metric's range, which sets the width of the interval where nothing varies."""
    quantile: float = math.inf
    """Of the bounds: Student's t with units - 1 degrees of freedom; where nothing varies and there are no clusters
    the normal one. Infinite for one unit."""

    @property
    def p_fail(self) -> float:
        """One-sided p of H0: the drop is at most the margin. Under alpha exactly when the verdict is FAIL."""
        return self._tail(self.margin, upper_tail)

    @property
    def p_change(self) -> float:
        """Two-sided p of H0: the mean difference is 0."""
        return self._tail(0.0, both_tails)

    def _tail(self, margin: float, tail: Callable[[float, float | None], float]) -> float:
        units = self.n if self.clusters is None else self.clusters
        if units == 1:
            return 1.0
        if self.se > 0:
            return tail((self.drop - margin) / self.se, units - 1)
        degrees = None if self.clusters is None else units - 1
        return tail(unseen_quantile((self.drop - margin) / self.scale, units), degrees)


def graded_drop(
    differences: ArrayLike,
    *,
    margin: float,
    alpha: float = 0.05,
    clusters: ArrayLike | None = None,
    scale: float = 1.0,
) -> GradedDrop:
    """Judge the mean of `differences`, [n], baseline minus candidate of a higher-is-better metric.

    Ties everywhere are not certainty: the bounds then lie scale * q^2 / (units + q^2) around the mean, as for
    no flips of a right-or-wrong metric (q normal, or t with G - 1 over clusters); `scale` is the metric's
    range, so give it where that is not 1 (a log-likelihood). One unit decides nothing: its bounds are
    infinite. Raises ValueError for values that are not finite, no values, or a margin or scale that is not
    positive.
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
    units = int(labels.max()) + 1
    mean = float(sample.mean())
    half, se, quantile = math.inf, 0.0, math.inf
    if units > 1:
        quantile = t_quantile(1 - alpha, units - 1)
        se = math.sqrt(cluster_variance(sample, labels))
        half = quantile * se
        if se <= TIED * max(scale, abs(mean)):
            se = 0.0
            quantile = quantile if clustered else normal_quantile(1 - alpha)
            half = scale * unseen_share(units, quantile)
    lower, upper = mean - half, mean + half
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
        verdict=below(lower, upper, margin),
        clusters=units if clustered else None,
        warning=warning,
        scale=scale,
        quantile=quantile,
    )
