"""Drops of right-or-wrong metrics over paired items: Tango's score bound, also over clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.bounded import BoundedMean
from harness.stats.clusters import design_effect, few_clusters
from harness.stats.decision import (
    Decision,
    both_tails,
    check_alpha,
    check_counts,
    check_margin,
    cluster_codes,
    decide,
    normal_quantile,
    t_quantile,
    upper_tail,
)
from harness.stats.tango import tango_bound, tango_z


@dataclass(frozen=True, kw_only=True)
class PairedDrop:
    """A paired drop with one-sided bounds at 1 - alpha each, and its verdict against `margin`."""

    n: int
    right_to_wrong: float
    wrong_to_right: float
    """Integers, unless items count fractionally (`shared_drop`)."""
    margin: float
    alpha: float
    drop: float
    lower: float
    upper: float
    z: float
    """Tango's statistic at the margin: below -`quantile` is PASS, above it FAIL."""
    quantile: float
    """What decides: normal, or t with G - 1 degrees of freedom over clusters; infinite for one cluster."""
    verdict: Decision
    n_effective: float
    deff: float = 1.0
    """Design effect: cluster-robust over independent variance, at least 1."""
    clusters: int | None = None
    warning: str | None = None
    unseen: BoundedMean | None = None
    """Over few changed clusters: the bounds that count with an unseen one, of which the wider decide."""

    @property
    def flips(self) -> float:
        return self.right_to_wrong + self.wrong_to_right

    @property
    def discordance(self) -> float:
        """Share of pairs whose outcome changed."""
        return self.flips / self.n

    @property
    def whole(self) -> bool:
        """Whether every item is right or wrong, none counted by a share."""
        return float(self.right_to_wrong).is_integer() and float(self.wrong_to_right).is_integer()

    @property
    def mcnemar_midp(self) -> float | None:
        """McNemar's mid-p, a diagnostic that decides nothing; None where items count by a share."""
        return mcnemar_midp(int(self.right_to_wrong), int(self.wrong_to_right)) if self.whole else None

    @property
    def score_bounds(self) -> tuple[float, float]:
        """Tango's bounds alone, without what an unseen cluster adds."""
        share = self.n_effective / self.n
        counts = (self.n_effective, self.right_to_wrong * share, self.wrong_to_right * share)
        return tango_bound(*counts, self.quantile), tango_bound(*counts, -self.quantile)

    @property
    def p_fail(self) -> float:
        """One-sided p of H0: the drop is at most the margin. Under alpha exactly when the verdict is FAIL."""
        if self.clusters == 1:
            return 1.0
        by_score = upper_tail(self.z, self._degrees)
        return by_score if self.unseen is None else max(by_score, self.unseen.p_above(self.margin))

    @property
    def p_gain(self) -> float:
        """One-sided p of H0: the drop is at least 0. Under alpha exactly when `upper` is below 0."""
        if self.clusters == 1:
            return 1.0
        by_score = upper_tail(-self._z_at_0, self._degrees)
        return by_score if self.unseen is None else max(by_score, self.unseen.p_below(0.0))

    @property
    def p_change(self) -> float:
        """Two-sided p of H0: nothing changed. McNemar's mid-p; over clusters Tango's statistic at 0 with t, and where
        items count by a share that statistic too."""
        if self.clusters is None:
            exact = self.mcnemar_midp
            return both_tails(self._z_at_0) if exact is None else exact
        if self.clusters == 1:
            return 1.0
        by_score = both_tails(self._z_at_0, self._degrees)
        if self.unseen is None:
            return by_score
        return max(by_score, min(1.0, 2 * min(self.unseen.p_above(0.0), self.unseen.p_below(0.0))))

    @property
    def _z_at_0(self) -> float:
        share = self.n_effective / self.n
        return tango_z(self.n_effective, self.right_to_wrong * share, self.wrong_to_right * share, 0.0)

    @property
    def _degrees(self) -> int | None:
        return None if self.clusters is None else self.clusters - 1


def paired_drop(
    n: int, right_to_wrong: float, wrong_to_right: float, *, margin: float, alpha: float = 0.05
) -> PairedDrop:
    """Judge a paired drop of a right-or-wrong metric as non-inferiority (H0: drop >= margin).

    PASS iff z(margin) < -z_{1-alpha}, FAIL iff z(margin) > z_{1-alpha}. All amounts are fractions.
    Raises ValueError for counts that do not fit or a margin or alpha out of range.
    """
    check_counts(n, right_to_wrong, wrong_to_right)
    check_margin(margin)
    check_alpha(alpha)
    return _judge(n, right_to_wrong, wrong_to_right, margin, alpha, quantile=normal_quantile(1 - alpha), effective=n)


def shared_drop(differences: ArrayLike, *, margin: float, alpha: float = 0.05) -> PairedDrop:
    """`paired_drop` of items of which some are right by a share (k options tie: 1/k); `differences`: [n] in [-1, 1].

    A share is what a draw among the tied options would give on average, so b and c are the sums of the losses and of
    the gains: what the drawn outcomes, right or wrong, would be expected to count. The mean of the differences varies
    no more than that of the drawn outcomes (Rao-Blackwell; |d| >= d^2), so Tango's variance errs to the safe side.
    Without shares it is `paired_drop`. Raises ValueError for other differences.
    """
    check_margin(margin)
    check_alpha(alpha)
    sample = _differences(differences, "shared_drop")
    b, c = _lost_and_won(sample)
    return _judge(sample.size, b, c, margin, alpha, quantile=normal_quantile(1 - alpha), effective=sample.size)


def _differences(differences: ArrayLike, caller: str) -> NDArray[np.float64]:
    sample = np.asarray(differences, dtype=np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise ValueError(f"{caller}: expected a list of differences with at least one entry")
    if not (np.abs(sample) <= 1).all():
        raise ValueError(f"{caller}: expected differences of -1, 0 or 1, or shares between them")
    return sample


def _lost_and_won(sample: NDArray[np.float64]) -> tuple[float, float]:
    """Sums of the losses and of the gains; integers where no item counts fractionally."""
    lost, won = (float(np.maximum(each, 0).sum()) for each in (sample, -sample))
    return (int(lost) if lost.is_integer() else lost), (int(won) if won.is_integer() else won)


def _judge(
    n: int,
    b: float,
    c: float,
    margin: float,
    alpha: float,
    *,
    quantile: float,
    effective: float,
    clusters: int | None = None,
    warning: str | None = None,
    unseen: BoundedMean | None = None,
) -> PairedDrop:
    """The verdict with all counts shrunk to the effective sample size, and no narrower than with `unseen`."""
    shrink = effective / n
    m, few_b, few_c = n * shrink, b * shrink, c * shrink
    z = tango_z(m, few_b, few_c, margin)
    lower, upper = tango_bound(m, few_b, few_c, quantile), tango_bound(m, few_b, few_c, -quantile)
    if unseen is not None:
        wider = unseen.bounds(alpha)
        lower, upper = max(-1.0, min(lower, wider[0])), min(1.0, max(upper, wider[1]))
    return PairedDrop(
        n=n,
        right_to_wrong=b,
        wrong_to_right=c,
        margin=margin,
        alpha=alpha,
        drop=(b - c) / n,
        lower=lower,
        upper=upper,
        z=z,
        quantile=quantile,
        verdict=decide(lower, upper, margin, ceiling=True),
        n_effective=effective,
        deff=n / effective,
        clusters=clusters,
        warning=warning,
        unseen=unseen,
    )


def recounted(drop: PairedDrop, right_to_wrong: int, wrong_to_right: int) -> PairedDrop:
    """The same items with other flips: the same limit, quantile and design effect. Raises ValueError as `paired_drop`.

    Over clusters the design effect is held at what it was, since where the other flips would lie is not known.
    """
    check_counts(drop.n, right_to_wrong, wrong_to_right)
    return _judge(
        drop.n, right_to_wrong, wrong_to_right, drop.margin, drop.alpha,
        quantile=drop.quantile, effective=drop.n_effective, clusters=drop.clusters, warning=drop.warning,
    )  # fmt: skip


def clustered_drop(differences: ArrayLike, clusters: ArrayLike, *, margin: float, alpha: float = 0.05) -> PairedDrop:
    """`paired_drop` where items are correlated within clusters (one passage, one prompt sampled repeatedly).

    `differences`: [n] of 1 (right to wrong), -1 (wrong to right) and 0, or shares between them as in `shared_drop`;
    `clusters`: [n] labels of any kind.
    The counts are divided by the design effect max(1, V_CR / V_iid), the quantile is t with G - 1 degrees of
    freedom. Where nothing varies (no flips, or every item flipped the same way) the effective size is G. Where
    fewer than `FEW_CHANGES` clusters changed, each bound is the wider of this and Gaffke's over clusters
    (`harness.stats.bounded`): a design effect seen in a handful of flips says little of the next cluster. One
    cluster decides nothing. Raises ValueError for other differences or lengths that do not fit.
    """
    check_margin(margin)
    check_alpha(alpha)
    sample = _differences(differences, "clustered_drop")
    labels = cluster_codes(clusters, sample.size, "clustered_drop")
    groups = int(labels.max()) + 1
    (b, c), n = _lost_and_won(sample), sample.size
    if groups == 1:
        return PairedDrop(
            n=n, right_to_wrong=b, wrong_to_right=c, margin=margin, alpha=alpha, drop=(b - c) / n,
            lower=-1.0, upper=1.0, z=0.0, quantile=math.inf, verdict=Decision.INCONCLUSIVE, n_effective=1.0,
            deff=float(n), clusters=1, warning=few_clusters(1),
        )  # fmt: skip
    spread = BoundedMean.of(sample, labels, low=-1.0, high=1.0, scale=1.0, clustered=True)
    return _judge(
        n,
        b,
        c,
        margin,
        alpha,
        quantile=t_quantile(1 - alpha, groups - 1),
        unseen=spread if spread.sparse and np.ptp(sample) > 0 else None,
        effective=n / design_effect(sample, labels) if np.ptp(sample) > 0 else float(groups),
        clusters=groups,
        warning=few_clusters(groups),
    )


def mcnemar_midp(right_to_wrong: int, wrong_to_right: int) -> float:
    """McNemar's exact test, two-sided, mid-p (Fagerland, Lydersen and Laake 2013); 1 with no flips.

    Raises ValueError for counts that are not integers of at least 0.
    """
    from scipy.special import bdtr

    check_counts(max(1, right_to_wrong + wrong_to_right), right_to_wrong, wrong_to_right)
    flips, fewer = right_to_wrong + wrong_to_right, min(right_to_wrong, wrong_to_right)
    if flips == 0:
        return 1.0
    point = math.exp(
        math.lgamma(flips + 1) - math.lgamma(fewer + 1) - math.lgamma(flips - fewer + 1) - flips * math.log(2)
    )
    return min(1.0, 2 * float(bdtr(fewer, flips, 0.5)) - point)
