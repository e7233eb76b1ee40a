"""How much is kept: of what fine-tuning gained, (candidate - base) / (fine-tuned - base), and of the baseline's own
score, candidate / baseline, which is the same question with a base of zeros. Item by item.

Fieller's set: the shares r that a test of `kept - r * gain` does not reject. It is bounded exactly where the gain
itself is shown to be above 0, so a share is given there and nowhere else. A bootstrap of the ratio always gives finite
bounds, and no method that does can hold its level where the gain may be 0 (Gleser and Hwang, 1987).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.clusters import few_clusters
from harness.stats.decision import TIED, Decision, check_alpha, cluster_codes, decide
from harness.stats.documents import FEW_DOCUMENTS, document_mean
from harness.stats.drop import PairedDrop, clustered_drop, paired_drop
from harness.stats.graded import GradedDrop, graded_drop
from harness.stats.share_tests import (
    FiellerTest,
    RatioTest,
    ScoreTest,
    ShareTest,
    UnseenTest,
)
from harness.stats.worst_seen import p_at_least, worst_seen_bounds

Values = NDArray[np.float64]
Bounds = tuple[float, float]
_ANY_MARGIN = 0.5
"""Bounds do not depend on the margin; the functions of drops want one."""


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

    p_fail: Callable[[float], float] = field(default=lambda limit: 1.0, repr=False, compare=False)
    """From a limit to the one-sided p of H0: at least that share is kept, or nothing was gained. Under alpha exactly
    when `upper` lies below the limit; it is the test whose inversion gives the bounds."""
    test: ShareTest | None = field(default=None, repr=False, compare=False)
    """That test; None without a share."""
    own: Bounds | None = None
    """Its own bounds."""
    unseen: Bounds | None = None
    """Few changes: Gaffke's bounds, of which and the others the wider count."""
    loss: PairedDrop | GradedDrop | None = field(default=None, repr=False, compare=False)
    """The gain as a drop, the other way round: where its bounds come from; None over documents."""

    def decide(self, limit: float) -> Decision:
        """Against the smallest share that must be kept."""
        if self.share is None or self.lower is None or self.upper is None:
            return Decision.INCONCLUSIVE
        return decide(self.lower, self.upper, limit, ceiling=False, reliable=self.reliable)


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
    counts as one item. Other values: Fieller's theorem (1954) with the cluster-robust covariance of the two means, t
    with units - 1. Where fewer than `FEW_CHANGES` clusters (graded: or items) differ from the fine-tuned model, each
    bound is the wider of this and Gaffke's over `kept - r * gain`, whose range is the metric's: 1, or what was seen
    where that is more. So no difference on any item is not certainty. Raises ValueError for arrays that do not fit or
    are not finite, or binary values other than 0 and 1.
    """
    check_alpha(alpha)
    low, middle, high = (np.asarray(each, dtype=np.float64) for each in (base, fine_tuned, candidate))
    _check(low, middle, high)
    if binary and not all(np.isin(each, (0.0, 1.0)).all() for each in (low, middle, high)):
        raise ValueError("retained_items: expected zeros and ones of a binary metric")
    gain, kept = middle - low, high - low
    labels = None if clusters is None else cluster_codes(clusters, gain.size, "retained_items")
    groups = None if labels is None else int(labels.max()) + 1
    scale = max(1.0, float(np.ptp(np.concatenate([low, middle, high]))))
    loss = _binary_loss(-gain, labels, alpha) if binary else _graded_loss(-gain, labels, alpha, scale)
    bounds = -loss.upper, -loss.lower
    warning = few_clusters(groups) if groups is not None else None
    if (groups or gain.size) == 1:
        warning = warning or "one item proves nothing about another"
    whole = RetainedShare(
        state="worse" if bounds[1] < 0 else "not shown", share=None, lower=None, upper=None, gain=float(gain.mean()),
        gain_lower=bounds[0], gain_upper=bounds[1], n=gain.size, clusters=groups, warning=warning, loss=loss,
    )  # fmt: skip
    if bounds[0] <= 0:
        return whole
    unseen = _unseen(gain, kept, labels, scale)
    test: ShareTest
    if binary:
        test = ScoreTest(gain=gain, kept=kept, labels=labels)
        counts = labels is not None and bool((gain != kept).any()) and unseen.sparse
    else:
        test = FiellerTest(gain=unseen.gain, kept=unseen.kept, weights=unseen.sizes)
        counts = unseen.sparse
    return _shown(whole, test, unseen if counts else None, kept.mean() / gain.mean(), loss.p_gain, alpha)


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
    whole = RetainedShare(
        state="worse" if mean.upper < 0 else "not shown", share=None, lower=None, upper=None, gain=mean.mean,
        gain_lower=mean.lower, gain_upper=mean.upper, n=gain.size, reliable=gain.size >= FEW_DOCUMENTS,
    )  # fmt: skip
    if mean.lower <= 0:
        return whole
    test = FiellerTest(gain=gain, kept=kept, weights=units)
    return _shown(whole, test, None, kept.sum() / gain.sum(), max(mean.p_fail(0.0), test.p_no_gain), alpha)


def _unseen(
    gain: Values, kept: Values, labels: NDArray[np.int64] | None, scale: float, span: Bounds | None = None
) -> UnseenTest:
    """Sums over units, which are items where there are no clusters."""
    codes = np.arange(gain.size) if labels is None else labels
    gained, stayed, sizes = (
        np.bincount(codes, weights=each).astype(np.float64) for each in (gain, kept, np.ones(gain.size))
    )
    return UnseenTest(gain=gained, kept=stayed, sizes=sizes, scale=scale, span=span)


def _check(*arrays: Values) -> None:
    shape = arrays[0].shape
    if len(shape) != 1 or shape[0] == 0 or any(each.shape != shape for each in arrays):
        raise ValueError("expected three arrays of one length, at least one entry")
    if not all(np.isfinite(each).all() for each in arrays):
        raise ValueError("expected finite values for base, fine-tuned model and candidate")


def _shown(
    whole: RetainedShare, test: ShareTest, unseen: UnseenTest | None, share: float, p_no_gain: float, alpha: float
) -> RetainedShare:
    """With the share and its bounds; an interval that is not finite leaves the gain not shown, whatever its own bounds
    say."""
    own, wider = test.bounds(alpha), unseen.bounds(alpha) if unseen is not None else None
    lower, upper = _wider(own, wider)
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return whole

    return replace(
        whole, state="shown", share=float(share), lower=lower, upper=upper, p_fail=_p_fail(test, unseen, p_no_gain),
        test=test, own=own, unseen=wider,
    )  # fmt: skip


def _wider(own: Bounds, wider: Bounds | None) -> Bounds:
    return own if wider is None else (min(own[0], wider[0]), max(own[1], wider[1]))


def _p_fail(test: ShareTest, unseen: UnseenTest | None, p_no_gain: float) -> Callable[[float], float]:
    def p_fail(limit: float) -> float:
        by_test = max(p_no_gain, test.p_less(limit))
        return by_test if unseen is None else max(by_test, unseen.p_less(limit))

    return p_fail


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """candidate / baseline with one-sided bounds at 1 - alpha each; `lower` may be 0 (of values that may be negative
    minus infinity) and `upper` infinite."""

    ratio: float
    lower: float
    upper: float
    n: int
    clusters: int | None
    p_fail: Callable[[float], float] = field(default=lambda limit: 1.0, repr=False, compare=False)
    """From a limit to the one-sided p of H0: at least that share is kept. Under alpha exactly when `upper` lies
    below the limit."""
    test: ShareTest | None = field(default=None, repr=False, compare=False)
    """The test that its inversion bounds; None for one unit."""
    own: Bounds = (0.0, math.inf)
    """Its own bounds."""
    unseen: Bounds | None = None
    """Few changes: Gaffke's bounds, of which and the others the wider count."""
    signed: bool = False
    """Values may be negative, so that no bound is held at 0."""
    worst_seen: Bounds | None = None
    """Bounds that count with one more unit as bad as the worst seen, of which and the others the wider count."""

    @property
    def warning(self) -> str | None:
        """What to say of few clusters or one item, if anything."""
        if self.clusters is not None:
            return few_clusters(self.clusters)
        return "one item proves nothing about another" if self.n == 1 else None


def paired_recovery(
    n: int, both_right: float, right_to_wrong: float, wrong_to_right: float, *, alpha: float = 0.05
) -> Recovery:
    """Ratio of two paired proportions by the score test of `RatioTest`. Items that are right by a share count by it, as
    in `shared_drop`.

    Raises ValueError for counts that are negative or exceed n, or a baseline that got nothing right.
    """
    counts = (both_right, right_to_wrong, wrong_to_right)
    if n < 1 or min(counts) < 0 or sum(counts) > n * (1 + TIED):
        raise ValueError(f"paired_recovery: counts {counts} do not fit n = {n}")
    base, cand = (both_right + right_to_wrong) / n, (both_right + wrong_to_right) / n
    if base == 0:
        raise ValueError("paired_recovery: the baseline got no item right, so no share of it can be kept")
    test = RatioTest(n=n, base=base, candidate=cand, lost=right_to_wrong / n, won=wrong_to_right / n)
    return _recovery(test, None, cand / base, n, None, alpha=alpha)


def clustered_recovery(
    baseline: ArrayLike, candidate: ArrayLike, clusters: ArrayLike, *, alpha: float = 0.05
) -> Recovery:
    """`paired_recovery` where items are correlated within clusters; all [n], right (1) or wrong (0) or right by a
    share, and cluster labels.

    z is divided by the root of the design effect of candidate - r * baseline, at least 1, and the quantile is t with
    G - 1 degrees of freedom; without a flip a cluster counts as one item; where few clusters changed, each bound is the
    wider of this and Gaffke's. One cluster decides nothing.
    Raises ValueError as `paired_recovery`, and for arrays that do not fit.
    """
    left, right = _paired(baseline, candidate, "clustered_recovery")
    labels = cluster_codes(clusters, left.size, "clustered_recovery")
    groups, base, cand = int(labels.max()) + 1, float(left.mean()), float(right.mean())
    if base == 0:
        raise ValueError("clustered_recovery: the baseline got no item right, so no share of it can be kept")
    if groups == 1:
        return Recovery(ratio=cand / base, lower=0.0, upper=math.inf, n=left.size, clusters=1)
    lost, won = float(np.maximum(left - right, 0).mean()), float(np.maximum(right - left, 0).mean())
    test = RatioTest(n=left.size, base=base, candidate=cand, lost=lost, won=won, sides=(left, right), labels=labels)
    unseen = _unseen(left, right, labels, 1.0, (0.0, 1.0))
    counts = unseen.sparse and bool((left != right).any())
    return _recovery(test, unseen if counts else None, cand / base, left.size, groups, alpha=alpha)


def graded_recovery(
    baseline: ArrayLike,
    candidate: ArrayLike,
    *,
    alpha: float = 0.05,
    clusters: ArrayLike | None = None,
    signed: bool = False,
) -> Recovery:
    """Ratio of two paired means by Fieller's theorem; cluster-robust where `clusters` ([n] labels) are given.

    `baseline`, `candidate`: [n], higher is better, baseline mean above 0. `signed`: values may be negative, so that no
    bound is held at 0. As `retained_items` of graded values with a
    base of zeros; Gaffke's bound knows that the base is 0. A bound that Fieller's set leaves open is 0 or infinity.
    Raises ValueError for arrays that do not fit, or a baseline whose mean is not above 0.
    """
    left, right = _paired(baseline, candidate, "graded_recovery")
    base, cand = float(left.mean()), float(right.mean())
    if base <= 0:
        raise ValueError("graded_recovery: the baseline's mean must be above 0")
    labels = None if clusters is None else cluster_codes(clusters, left.size, "graded_recovery")
    groups = None if labels is None else int(labels.max()) + 1
    if (groups or left.size) == 1:
        lowest = -math.inf if signed else 0.0
        return Recovery(ratio=cand / base, lower=lowest, upper=math.inf, n=left.size, clusters=groups, signed=signed)
    both = np.concatenate([left, right])
    span = min(0.0, float(both.min())), max(1.0, float(both.max()))
    unseen = _unseen(left, right, labels, span[1] - span[0], span)
    test = FiellerTest(gain=unseen.gain, kept=unseen.kept, weights=unseen.sizes)
    counted = unseen if unseen.sparse else None
    return _recovery(test, counted, cand / base, left.size, groups, alpha=alpha, signed=signed)


def sum_ratio(
    baseline: ArrayLike, candidate: ArrayLike, *, alpha: float = 0.05, clusters: ArrayLike | None = None
) -> Recovery:
    """`graded_recovery` of quantities that may be skewed, and negative: no bound is narrower than with one more item
    (cluster) as bad as the worst seen (`harness.stats.worst_seen`). Raises ValueError as it does."""
    left, right = _paired(baseline, candidate, "sum_ratio")
    signed = bool(min(left.min(), right.min()) < 0)
    found = graded_recovery(left, right, alpha=alpha, clusters=clusters, signed=signed)
    if found.test is None:
        return found
    if clusters is not None:
        labels = cluster_codes(clusters, left.size, "sum_ratio")
        left, right = (np.bincount(labels, weights=each).astype(np.float64) for each in (left, right))
    bounds = worst_seen_bounds(right, left, alpha=alpha)
    bounds = bounds if signed else _from_zero(bounds)
    lower, upper = _wider((found.lower, found.upper), bounds)

    def p_fail(limit: float) -> float:
        return max(found.p_fail(limit), p_at_least(right, left, limit))

    return replace(found, lower=lower, upper=upper, p_fail=p_fail, worst_seen=bounds)


def _recovery(
    test: ShareTest,
    unseen: UnseenTest | None,
    ratio: float,
    n: int,
    groups: int | None,
    *,
    alpha: float,
    signed: bool = False,
) -> Recovery:
    """With the test's bounds, of which none is below 0 unless values may be."""
    own, wider = test.bounds(alpha), unseen.bounds(alpha) if unseen is not None else None
    if not signed:
        own, wider = _from_zero(own), None if wider is None else _from_zero(wider)
    lower, upper = _wider(own, wider)
    p_no_gain = test.p_no_gain if isinstance(test, FiellerTest) else 0.0
    return Recovery(
        ratio=ratio, lower=lower, upper=upper, n=n, clusters=groups, p_fail=_p_fail(test, unseen, p_no_gain),
        test=test, own=own, unseen=wider, signed=signed,
    )  # fmt: skip


def _from_zero(bounds: Bounds) -> Bounds:
    return max(0.0, bounds[0]), bounds[1]


def _paired(baseline: ArrayLike, candidate: ArrayLike, caller: str) -> tuple[Values, Values]:
    left, right = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1 or left.size == 0:
        raise ValueError(f"{caller}: expected two arrays of one length, not empty")
    return left, right


def _binary_loss(loss: Values, labels: NDArray[np.int64] | None, alpha: float) -> PairedDrop:
    """The gain as a drop, the other way round."""
    if labels is not None:
        return clustered_drop(loss, labels, margin=_ANY_MARGIN, alpha=alpha)
    lost, won = int((loss > 0).sum()), int((loss < 0).sum())
    return paired_drop(loss.size, lost, won, margin=_ANY_MARGIN, alpha=alpha)


def _graded_loss(loss: Values, labels: NDArray[np.int64] | None, alpha: float, scale: float) -> GradedDrop:
    return graded_drop(loss, margin=_ANY_MARGIN, alpha=alpha, clusters=labels, scale=scale)
