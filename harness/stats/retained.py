"""How much of what fine-tuning gained a candidate keeps: (candidate - base) / (fine-tuned - base), item by item.

Fieller's set: the shares r that a test of `kept - r * gain` does not reject. It is bounded exactly where the gain
itself is shown to be above 0, so a share is given there and nowhere else. A bootstrap of the ratio always gives finite
bounds, and no method that does can hold its level where the gain may be 0 (Gleser and Hwang, 1987).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.contrast import contrast_z, falling_root
from harness.stats.decision import (
    TIED,
    Decision,
    above,
    check_alpha,
    cluster_codes,
    normal_quantile,
    t_quantile,
    unseen_share,
)
from harness.stats.documents import FEW_DOCUMENTS, document_mean
from harness.stats.drop import clustered_drop, design_effect, few_clusters, paired_drop
from harness.stats.graded import graded_drop

Values = NDArray[np.float64]
_ANY_MARGIN = 0.5
"""Bounds do not depend on the margin; the functions of drops want one."""
_FURTHEST = 1e6
"""A share beyond this is reported as infinite."""
_OUTCOMES = ((0.0, 0.0), (1.0, 1.0), (-1.0, -1.0), (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0))
"""(kept, gain) that one right-or-wrong item can show; right or wrong for all three is (0, 0)."""


@dataclass(frozen=True, kw_only=True)
class RetainedShare:
    """The share of the gain that is kept, with one-sided bounds at 1 - alpha each.

    `state` is `shown` where the gain's own lower bound is above 0, which bounds the share. Otherwise there is no
    share, and the three numbers are None: `worse` where the gain's upper bound is below 0, else `not shown`.
    """

    state: Literal["shown", "not shown", "worse"]
    share: float | None
    lower: float | None
    upper: float | None
    gain: float
    """Fine-tuned minus base, oriented so that positive is better; per item, or per unit of weight."""
    gain_lower: float
    gain_upper: float
    n: int
    clusters: int | None = None
    reliable: bool = True
    """False under 20 documents, where nothing is decided."""
    warning: str | None = None

    def decide(self, limit: float) -> Decision:
        """Against the smallest share that must be kept."""
        if self.share is None or self.lower is None or self.upper is None or not self.reliable:
            return Decision.INCONCLUSIVE
        return above(self.lower, self.upper, limit)


def retained_items(
    base: ArrayLike,
    fine_tuned: ArrayLike,
    candidate: ArrayLike,
    *,
    alpha: float = 0.05,
    clusters: ArrayLike | None = None,
    binary: bool,
) -> RetainedShare:
    """The share of a per-item metric's gain, all three [n], higher is better; `clusters`: [n] labels or None.

    `binary` values are 0 and 1: the score test of `contrast_z`, divided by the design effect of `kept - r * gain`
    where clustered (t with G - 1); where the candidate answers every item as the fine-tuned model did, a cluster
    counts as one item. Other values (of range 1): Fieller's theorem (1954) with the cluster-robust covariance of the
    two means, t with units - 1; no difference on any item is not certainty, the bounds then lie
    q^2 / (units + q^2) / gain_lower around 1. Raises ValueError for arrays that do not fit or are not finite, or
    binary values other than 0 and 1.
    """
    check_alpha(alpha)
    low, middle, high = (np.asarray(each, dtype=np.float64) for each in (base, fine_tuned, candidate))
    _check(low, middle, high)
    if binary and not all(np.isin(each, (0.0, 1.0)).all() for each in (low, middle, high)):
        raise ValueError("retained_items: expected zeros and ones of a binary metric")
    gain, kept = middle - low, high - low
    labels = None if clusters is None else cluster_codes(clusters, gain.size, "retained_items")
    groups = None if labels is None else int(labels.max()) + 1
    bounds = _binary_gain(gain, labels, alpha) if binary else _graded_gain(gain, labels, alpha)
    units = gain.size if groups is None else groups
    interval = None
    if bounds[0] > 0:
        interval = (_score_bounds if binary else _fieller_items)(gain, kept, labels, alpha, bounds[0])
    warning = few_clusters(groups) if groups is not None else None
    if units == 1:
        warning = warning or "one item proves nothing about another"
    return _shown(
        gain=gain.mean(), bounds=bounds, share=kept.mean() / gain.mean() if interval else None, interval=interval,
        n=gain.size, clusters=groups, reliable=True, warning=warning,
    )  # fmt: skip


def retained_documents(
    base_nll: ArrayLike, fine_tuned_nll: ArrayLike, candidate_nll: ArrayLike, weights: ArrayLike, *, alpha: float = 0.05
) -> RetainedShare:
    """The share of the fall in negative log-likelihood: (NLL_base - NLL_cand) / (NLL_base - NLL_ft).

    NLLs in nats summed over a document and `weights` (its tokens or bytes), all [G]. Fieller's theorem with the
    covariance of the two ratio estimators, t with G - 1. Likelihoods are continuous: no difference on any document is
    the same computation, and the bounds are then 1. Raises ValueError as `retained_items`, or for weights not above 0.
    """
    check_alpha(alpha)
    low, middle, high, units = (
        np.asarray(each, dtype=np.float64) for each in (base_nll, fine_tuned_nll, candidate_nll, weights)
    )
    _check(low, middle, high)
    if not (units > 0).all():
        raise ValueError("retained_documents: expected weights above 0")
    gain, kept = low - middle, low - high
    mean = document_mean(gain, units, alpha=alpha)
    interval = None
    if mean.lower > 0:
        interval = _fieller(gain, kept, units, t_quantile(1 - alpha, gain.size - 1))
    return _shown(
        gain=mean.mean, bounds=(mean.lower, mean.upper), share=kept.sum() / gain.sum() if interval else None,
        interval=interval, n=gain.size, clusters=None, reliable=gain.size >= FEW_DOCUMENTS, warning=None,
    )  # fmt: skip


def _check(*arrays: Values) -> None:
    shape = arrays[0].shape
    if len(shape) != 1 or shape[0] == 0 or any(each.shape != shape for each in arrays):
        raise ValueError("expected three arrays of one length, at least one entry")
    if not all(np.isfinite(each).all() for each in arrays):
        raise ValueError("expected finite values for base, fine-tuned model and candidate")


def _shown(
    *, gain: float, bounds: tuple[float, float], share: float | None, interval: tuple[float, float] | None, n: int,
    clusters: int | None, reliable: bool, warning: str | None,
) -> RetainedShare:  # fmt: skip
    """The result; an interval that is not finite leaves the gain not shown, whatever its own bounds say."""
    if interval is not None and not all(math.isfinite(each) for each in interval):
        share = interval = None
    lower, upper = interval if interval is not None else (None, None)
    return RetainedShare(
        state="shown" if interval is not None else "worse" if bounds[1] < 0 else "not shown",
        share=None if share is None else float(share), lower=lower, upper=upper, gain=float(gain),
        gain_lower=bounds[0], gain_upper=bounds[1], n=n, clusters=clusters, reliable=reliable, warning=warning,
    )  # fmt: skip


def _binary_gain(gain: Values, labels: NDArray[np.int64] | None, alpha: float) -> tuple[float, float]:
    """Bounds of the gain: those of a drop, the other way round."""
    if labels is not None:
        drop = clustered_drop(-gain, labels, margin=_ANY_MARGIN, alpha=alpha)
    else:
        lost, won = int((gain < 0).sum()), int((gain > 0).sum())
        drop = paired_drop(gain.size, lost, won, margin=_ANY_MARGIN, alpha=alpha)
    return -drop.upper, -drop.lower


def _graded_gain(gain: Values, labels: NDArray[np.int64] | None, alpha: float) -> tuple[float, float]:
    drop = graded_drop(-gain, margin=_ANY_MARGIN, alpha=alpha, clusters=labels)
    return -drop.upper, -drop.lower


def _score_bounds(
    gain: Values, kept: Values, labels: NDArray[np.int64] | None, alpha: float, gain_lower: float
) -> tuple[float, float]:
    """The shares at which the score test turns."""
    del gain_lower
    counts = [float(((kept == k) & (gain == g)).sum()) for k, g in _OUTCOMES]
    groups = gain.size if labels is None else int(labels.max()) + 1
    quantile = normal_quantile(1 - alpha) if labels is None else t_quantile(1 - alpha, groups - 1)
    identical = bool((gain == kept).all())

    def z(share: float) -> float:
        score = contrast_z(counts, [k - share * g for k, g in _OUTCOMES])
        if labels is None:
            return score
        deff = design_effect(kept - share * gain, labels)
        return score / math.sqrt(max(deff, gain.size / groups) if identical else deff)

    start = float(kept.mean() / gain.mean())
    return _crossing(z, quantile, start, -1.0), _crossing(z, -quantile, start, 1.0)


def _crossing(z: Callable[[float], float], target: float, start: float, direction: float) -> float:
    """The first share from `start` in `direction` where z, which falls as the share grows, reaches `target`."""
    step, near, far = 0.05, start, start + 0.05 * direction
    while (z(far) - target) * direction > 0:
        step *= 2
        near, far = far, far + step * direction
        if abs(far) > _FURTHEST:
            return math.inf * direction
    return falling_root(lambda share: (z(share) - target) * direction, near, far, within=1e-10)


def _fieller_items(
    gain: Values, kept: Values, labels: NDArray[np.int64] | None, alpha: float, gain_lower: float
) -> tuple[float, float]:
    codes = np.arange(gain.size) if labels is None else labels
    units = int(codes.max()) + 1
    t = t_quantile(1 - alpha, units - 1)
    if float(np.abs(gain - kept).max()) <= TIED:
        width = unseen_share(units, t if labels is not None else normal_quantile(1 - alpha)) / gain_lower
        return 1 - width, 1 + width
    gained, stayed, sizes = (
        np.bincount(codes, weights=each).astype(np.float64) for each in (gain, kept, np.ones(gain.size))
    )
    return _fieller(gained, stayed, sizes, t)


def _fieller(gain: Values, kept: Values, weights: Values, t: float) -> tuple[float, float]:
    """Fieller's bounds of sum(kept) / sum(gain) over independent units, all [G]; the gain's t bound is above 0.

    The r with (K - r M)^2 <= t^2 (V_kk - 2 r V_mk + r^2 V_mm), where M and K are the sums over sum(weights) and V their
    jackknife covariance: G / (G - 1) times the plain one for equal weights, and wider where a few units weigh much.
    """
    units, total = gain.size, float(weights.sum())
    m, k = float(gain.sum()) / total, float(kept.sum()) / total
    left = 1 - weights / total
    off_m, off_k = (gain - m * weights) / left, (kept - k * weights) / left
    scale = t * t * (units - 1) / units / total**2
    a = m * m - scale * float((off_m * off_m).sum())
    half = m * k - scale * float((off_m * off_k).sum())
    c = k * k - scale * float((off_k * off_k).sum())
    if a <= 0:
        return -math.inf, math.inf
    root = math.sqrt(max(0.0, half * half - a * c))
    return (half - root) / a, (half + root) / a
