"""How much of the baseline's score a candidate keeps: candidate / baseline, from paired items."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.decision import normal_quantile, t_quantile

_LARGEST = 1e6
"""Recovery beyond this is reported as infinite."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """candidate / baseline with one-sided bounds at 1 - alpha each; `lower` may be 0 and `upper` infinite."""

    ratio: float
    lower: float
    upper: float
    n: int
    clusters: int | None


def paired_recovery(
    n: int, both_right: int, right_to_wrong: int, wrong_to_right: int, *, alpha: float = 0.05
) -> Recovery:
    """Ratio of two paired proportions by Nam and Blackwelder's score test (Statistics in Medicine, 2002).

    For a ratio r, z(r) = (p_cand - r p_base) sqrt(n) / sqrt(r (p10 + p01)), where p10 (right to wrong) and
    p01 (wrong to right) are the maximum-likelihood estimates under p_cand = r p_base. The bounds solve
    z(r) = +-z_{1-alpha}.

    Raises ValueError for counts that are negative or exceed n, or a baseline that got nothing right.
    """
    counts = (both_right, right_to_wrong, wrong_to_right)
    if n < 1 or min(counts) < 0 or sum(counts) > n:
        raise ValueError(f"paired_recovery: counts {counts} do not fit n = {n}")
    base, cand = (both_right + right_to_wrong) / n, (both_right + wrong_to_right) / n
    if base == 0:
        raise ValueError("paired_recovery: the baseline got no item right, so no share of it can be kept")
    quantile = normal_quantile(1 - alpha)
    loss, gain = right_to_wrong / n, wrong_to_right / n

    def z(r: float) -> float:
        root = math.sqrt((cand - r * r * base) ** 2 + 4 * r * r * loss * gain)
        p01 = max(0.0, (-cand + r * r * (base + 2 * gain) + root) / (2 * r * (r + 1)))
        q = 1 / r
        root = math.sqrt((base - q * q * cand) ** 2 + 4 * q * q * loss * gain)
        p10 = max(0.0, (-base + q * q * (cand + 2 * loss) + root) / (2 * q * (q + 1)))
        spread = math.sqrt(r * (p10 + p01))
        difference = cand - r * base
        if spread == 0:
            return 0.0 if difference == 0 else math.copysign(math.inf, difference)
        return difference * math.sqrt(n) / spread

    return Recovery(
        ratio=cand / base,
        lower=_solve(z, quantile),
        upper=_solve(z, -quantile),
        n=n,
        clusters=None,
    )


def _solve(z: object, target: float) -> float:
    """The r with z(r) = target; z falls as r grows."""
    assert callable(z)
    low, high = 1e-9, _LARGEST
    if z(low) < target:
        return 0.0
    if z(high) > target:
        return math.inf
    for _ in range(200):
        middle = math.sqrt(low * high)
        if z(middle) > target:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def graded_recovery(
    baseline: ArrayLike, candidate: ArrayLike, *, alpha: float = 0.05, clusters: ArrayLike | None = None
) -> Recovery:
    """Ratio of two paired means by Fieller's theorem; cluster-robust where `clusters` ([n] labels) are given.

    `baseline`, `candidate`: [n], higher is better, baseline mean above 0. A bound that Fieller's set leaves
    open is 0 or infinity. Identical pairs prove nothing: with no spread at all the bounds are 1 -+ z^2/(units
    + z^2).
    """
    left, right = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1 or left.size == 0:
        raise ValueError("graded_recovery: expected two arrays of one length, not empty")
    base, cand = float(left.mean()), float(right.mean())
    if base <= 0:
        raise ValueError("graded_recovery: the baseline's mean must be above 0")
    labels = np.arange(left.size) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    units = int(labels.max()) + 1
    groups = None if clusters is None else units
    ratio = cand / base
    if units == 1:
        return Recovery(ratio=ratio, lower=0.0, upper=math.inf, n=left.size, clusters=groups)
    t = t_quantile(1 - alpha, units - 1)
    vbb, vcc, vbc = _covariances(left, right, labels)
    if vbb + vcc - 2 * vbc <= 1e-15 * (vbb + vcc) or (vbb == 0 and vcc == 0):
        z = normal_quantile(1 - alpha)
        width = z * z / (units + z * z)
        return Recovery(ratio=ratio, lower=max(0.0, ratio - width), upper=ratio + width, n=left.size, clusters=groups)
    a = base * base - t * t * vbb
    half_b = base * cand - t * t * vbc
    c = cand * cand - t * t * vcc
    root = half_b * half_b - a * c
    if a <= 0 or root < 0:
        return Recovery(ratio=ratio, lower=0.0, upper=math.inf, n=left.size, clusters=groups)
    low, high = (half_b - math.sqrt(root)) / a, (half_b + math.sqrt(root)) / a
    return Recovery(ratio=ratio, lower=max(0.0, low), upper=high, n=left.size, clusters=groups)


def _covariances(
    left: NDArray[np.float64], right: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Variances and covariance of the two means, over independent units."""
    n = left.size
    b = np.bincount(labels, weights=left - left.mean())
    c = np.bincount(labels, weights=right - right.mean())
    scale = b.size / (b.size - 1) / n**2
    return float((b * b).sum() * scale), float((c * c).sum() * scale), float((b * c).sum() * scale)
