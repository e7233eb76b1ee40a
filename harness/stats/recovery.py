"""How much of the baseline's score a candidate keeps: candidate / baseline, from paired items."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.bounded import few_changes, unseen_tail
from harness.stats.decision import (
    TIED,
    cluster_codes,
    normal_quantile,
    t_quantile,
    unseen_quantile,
    unseen_share,
    upper_tail,
)
from harness.stats.drop import design_effect, few_clusters

_LARGEST = 1e6
"""Recovery beyond this is reported as infinite."""


class NamTerms(NamedTuple):
    """Nam and Blackwelder's statistic at a ratio, with what it is made of."""

    p10: float
    """Most likely share of pairs from right to wrong when p_cand = r p_base."""
    p01: float
    """From wrong to right."""
    difference: float
    """p_cand - r p_base as observed."""
    spread: float
    """sqrt(r (p10 + p01))."""
    z: float


class FiellerTerms(NamedTuple):
    """What Fieller's bounds are made of: the roots of a r^2 - 2 half_b r + c = 0."""

    vbb: float
    vcc: float
    vbc: float
    """(Co)variances of the two means, over independent units."""
    a: float
    half_b: float
    c: float


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """candidate / baseline with one-sided bounds at 1 - alpha each; `lower` may be 0 and `upper` infinite."""

    ratio: float
    lower: float
    upper: float
    n: int
    clusters: int | None
    p_fail: Callable[[float], float] = field(default=lambda limit: 1.0, repr=False, compare=False)
    """From a limit to the one-sided p of H0: at least that share is kept. Under alpha exactly when `upper` lies
    below the limit."""
    quantile: float = math.inf
    """Of the bounds: normal, or Student's t with units - 1 degrees of freedom; infinite for one unit."""
    fieller: FiellerTerms | None = None
    """None for the score test, for one unit and where nothing varies."""
    effective: float = math.nan
    """Score test: pairs, over clusters divided by the design effect."""
    unseen: tuple[float, float] | None = None
    """Few changes: Gaffke's bounds, of which and the others the wider count."""
    own: tuple[float, float] | None = None
    """The others, where `unseen` is given."""

    @property
    def warning(self) -> str | None:
        """What to say of few clusters or one item, if anything."""
        if self.clusters is not None:
            return few_clusters(self.clusters)
        return "one item proves nothing about another" if self.n == 1 else None


def paired_recovery(
    n: int, both_right: float, right_to_wrong: float, wrong_to_right: float, *, alpha: float = 0.05
) -> Recovery:
    """Ratio of two paired proportions by Nam and Blackwelder's score test (Statistics in Medicine, 2002).

    For a ratio r, z(r) = (p_cand - r p_base) sqrt(n) / sqrt(r (p10 + p01)), where p10 (right to wrong) and
    p01 (wrong to right) are the maximum-likelihood estimates under p_cand = r p_base. The bounds solve
    z(r) = +-z_{1-alpha}. Items that are right by a share count by it, as in `shared_drop`.

    Raises ValueError for counts that are negative or exceed n, or a baseline that got nothing right.
    """
    counts = (both_right, right_to_wrong, wrong_to_right)
    if n < 1 or min(counts) < 0 or sum(counts) > n * (1 + TIED):
        raise ValueError(f"paired_recovery: counts {counts} do not fit n = {n}")
    base, cand = (both_right + right_to_wrong) / n, (both_right + wrong_to_right) / n
    if base == 0:
        raise ValueError("paired_recovery: the baseline got no item right, so no share of it can be kept")
    return _by_score(n, base, cand, right_to_wrong / n, wrong_to_right / n, alpha=alpha)


def clustered_recovery(
    baseline: ArrayLike, candidate: ArrayLike, clusters: ArrayLike, *, alpha: float = 0.05
) -> Recovery:
    """`paired_recovery` where items lean together; all [n], right (1) or wrong (0) or right by a share, and cluster
    labels.

    As for a drop: n is divided by the design effect of candidate - ratio * baseline, at least 1, and the quantile
    is t with G - 1 degrees of freedom; without a flip the effective size is G; where few clusters changed, each
    bound is the wider of this and Gaffke's. One cluster decides nothing.
    Raises ValueError as `paired_recovery`, and for arrays that do not fit.
    """
    left, right = _paired(baseline, candidate, "clustered_recovery")
    labels = cluster_codes(clusters, left.size, "clustered_recovery")
    groups, base, cand = int(labels.max()) + 1, float(left.mean()), float(right.mean())
    if base == 0:
        raise ValueError("clustered_recovery: the baseline got no item right, so no share of it can be kept")
    if groups == 1:
        return Recovery(ratio=cand / base, lower=0.0, upper=math.inf, n=left.size, clusters=1)
    effective = float(groups)
    if (left != right).any():
        effective = left.size / design_effect(right - cand / base * left, labels)
    loss, gain = float(np.maximum(left - right, 0).mean()), float(np.maximum(right - left, 0).mean())
    found = _by_score(effective, base, cand, loss, gain, alpha=alpha, degrees=groups - 1)
    found = replace(found, n=left.size, clusters=groups)
    unseen = _Unseen(left, right, labels)
    if not unseen.sparse or (left == right).all():
        return found
    wider = unseen.lower(alpha), unseen.upper(alpha)
    return replace(
        found,
        lower=min(found.lower, wider[0]),
        upper=max(found.upper, wider[1]),
        unseen=wider,
        own=(found.lower, found.upper),
        p_fail=lambda limit: max(found.p_fail(limit), unseen.p_less(limit)),
    )


def _by_score(
    n: float, base: float, cand: float, loss: float, gain: float, *, alpha: float, degrees: int | None = None
) -> Recovery:
    """Nam and Blackwelder's bounds from shares of n items."""

    def z(r: float) -> float:
        return nam_terms(n, base, cand, loss, gain, r).z

    quantile = normal_quantile(1 - alpha) if degrees is None else t_quantile(1 - alpha, degrees)
    return Recovery(
        ratio=cand / base,
        lower=_solve(z, quantile),
        upper=_solve(z, -quantile),
        n=round(n),
        clusters=None,
        p_fail=lambda limit: upper_tail(-z(limit), degrees) if limit > 0 else 1.0,
        quantile=quantile,
        effective=n,
    )


def nam_terms(n: float, base: float, cand: float, loss: float, gain: float, r: float) -> NamTerms:
    """The statistic of `paired_recovery` at the ratio `r`. Shares of n pairs: right before, right after, lost, won."""
    root = math.sqrt((cand - r * r * base) ** 2 + 4 * r * r * loss * gain)
    p01 = max(0.0, (-cand + r * r * (base + 2 * gain) + root) / (2 * r * (r + 1)))
    q = 1 / r
    root = math.sqrt((base - q * q * cand) ** 2 + 4 * q * q * loss * gain)
    p10 = max(0.0, (-base + q * q * (cand + 2 * loss) + root) / (2 * q * (q + 1)))
    spread = math.sqrt(r * (p10 + p01))
    difference = cand - r * base
    if spread > 0:
        z = difference * math.sqrt(n) / spread
    else:
        z = 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return NamTerms(p10, p01, difference, spread, z)


def _solve(z: Callable[[float], float], target: float) -> float:
    """The r with z(r) = target; z falls as r grows."""
    low, high = 1e-9, _LARGEST
    if z(low) < target:
        return 0.0
    if z(high) > target:
        return math.inf
    for _ in range(200):
        if high - low <= 1e-12 * high:
            break
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

    `baseline`, `candidate`: [n], higher is better, baseline mean above 0. Where fewer than `FEW_CHANGES` pairs
    changed, each bound is the wider of Fieller's and Gaffke's. T(r) = (cand - r base) /
    sqrt(V_cc - 2 r V_bc + r^2 V_bb) is Student's t with one degree less than there are units; the bounds solve
    T(r) = +-t. A bound that Fieller's set leaves open is 0 or infinity. Where every pair has the same difference
    or the same ratio nothing varies and the bounds are ratio -+ q^2 / (units + q^2), q normal, or t over clusters.
    Raises ValueError for arrays that do not fit, or a baseline whose mean is not above 0.
    """
    left, right = _paired(baseline, candidate, "graded_recovery")
    base, cand = float(left.mean()), float(right.mean())
    if base <= 0:
        raise ValueError("graded_recovery: the baseline's mean must be above 0")
    labels = np.arange(left.size) if clusters is None else cluster_codes(clusters, left.size, "graded_recovery")
    units = int(labels.max()) + 1
    groups = None if clusters is None else units
    ratio, n = cand / base, left.size
    if units == 1:
        return Recovery(ratio=ratio, lower=0.0, upper=math.inf, n=n, clusters=groups)
    t = t_quantile(1 - alpha, units - 1)
    vbb, vcc, vbc = _covariances(left, right, labels)
    if vbb + vcc - 2 * vbc <= TIED * (vbb + vcc) or vbb * ratio**2 + vcc - 2 * ratio * vbc <= TIED * (vbb + vcc):
        quantile = normal_quantile(1 - alpha) if clusters is None else t
        width = unseen_share(units, quantile)
        degrees = None if clusters is None else units - 1
        return Recovery(
            ratio=ratio, lower=max(0.0, ratio - width), upper=ratio + width, n=n, clusters=groups,
            p_fail=lambda limit: upper_tail(unseen_quantile(limit - ratio, units), degrees), quantile=quantile,
        )  # fmt: skip
    no_base = upper_tail(base / math.sqrt(vbb), units - 1) if vbb > 0 else 0.0
    unseen = _Unseen(left, right, labels)

    def p_fail(limit: float) -> float:
        spread = math.sqrt(max(0.0, vcc - 2 * limit * vbc + limit * limit * vbb))
        by_t = max(no_base, upper_tail((limit * base - cand) / spread, units - 1)) if spread > 0 else 1.0
        return max(by_t, unseen.p_less(limit)) if unseen.sparse else by_t

    a = base * base - t * t * vbb
    half_b = base * cand - t * t * vbc
    c = cand * cand - t * t * vcc
    root = half_b * half_b - a * c
    low, high = 0.0, math.inf
    if a > 0 and root >= 0:
        low, high = max(0.0, (half_b - math.sqrt(root)) / a), (half_b + math.sqrt(root)) / a
    wider = (unseen.lower(alpha), unseen.upper(alpha)) if unseen.sparse else None
    own = low, high
    if wider is not None:
        low, high = min(low, wider[0]), max(high, wider[1])
    return Recovery(
        ratio=ratio, lower=low, upper=high, n=n, clusters=groups, p_fail=p_fail, quantile=t,
        fieller=FiellerTerms(vbb, vcc, vbc, a, half_b, c), unseen=wider, own=None if wider is None else own,
    )  # fmt: skip


class _Unseen:
    """Gaffke's bound of candidate - r * baseline around 0 (`harness.stats.bounded`), where few pairs changed."""

    def __init__(self, left: NDArray[np.float64], right: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
        self.base = np.bincount(labels, weights=left).astype(np.float64)
        self.cand = np.bincount(labels, weights=right).astype(np.float64)
        self.sizes = np.bincount(labels).astype(np.float64)
        self.most = max(1.0, float(left.max()), float(right.max()))
        self.least = min(0.0, float(left.min()), float(right.min()))
        self.sparse = few_changes((self.cand - self.base) / self.sizes)

    def p_less(self, r: float) -> float:
        """p of H0: at least the share r is kept."""
        return unseen_tail(self.cand - r * self.base, self.sizes, self.most - r * self.least, 0.0)

    def p_more(self, r: float) -> float:
        """p of H0: at most the share r is kept."""
        return unseen_tail(r * self.base - self.cand, self.sizes, r * self.most - self.least, 0.0)

    def lower(self, alpha: float) -> float:
        return _solve(lambda r: -self.p_more(r), -alpha)

    def upper(self, alpha: float) -> float:
        return _solve(self.p_less, alpha)


def _paired(baseline: ArrayLike, candidate: ArrayLike, caller: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, right = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1 or left.size == 0:
        raise ValueError(f"{caller}: expected two arrays of one length, not empty")
    return left, right


def _covariances(
    left: NDArray[np.float64], right: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Variances and covariance of the two means, over independent units."""
    n = left.size
    b = np.bincount(labels, weights=left - left.mean())
    c = np.bincount(labels, weights=right - right.mean())
    scale = b.size / (b.size - 1) / n**2
    return float((b * b).sum() * scale), float((c * c).sum() * scale), float((b * c).sum() * scale)
