"""Tests of how much of a gain is kept: H0, the mean of `kept - r * gain` is 0. Each knows its interval and its p.

The shares r that a test does not reject are Fieller's set; its ends are the bounds, and `p_less` is the p of the very
same test at one r. Where there is no base, `gain` is the baseline's own score and `kept` the candidate's. Owns the
tests; when a share is given at all, `harness.stats.share` decides.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.stats.bounded import few_changes, unseen_deviate, unseen_tail
from harness.stats.clusters import design_effect
from harness.stats.contrast import ContrastTerms, contrast_terms, falling_root
from harness.stats.decision import TIED, normal_quantile, t_quantile, upper_tail

Values = NDArray[np.float64]
Bounds = tuple[float, float]
_FURTHEST = 1e6
"""A share beyond this is reported as infinite."""
_LEAST = 1e-9
"""A share below this is 0: a score cannot be negative."""
OUTCOMES = ((0.0, 0.0), (1.0, 1.0), (-1.0, -1.0), (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0))
"""(kept, gain) that one right-or-wrong item can show; right or wrong for all three is (0, 0)."""


class _Score(ABC):
    """A score test of right-or-wrong items, over clusters divided by the design effect of kept - r gain."""

    @property
    @abstractmethod
    def groups(self) -> int | None:
        """Clusters, where there are any."""

    @property
    @abstractmethod
    def share(self) -> float:
        """As observed."""

    @abstractmethod
    def statistic(self, share: float) -> float:
        """z before the design effect; falls as the share grows."""

    @abstractmethod
    def deff(self, share: float) -> float:
        """Design effect at a share; 1 without clusters."""

    @property
    def degrees(self) -> int | None:
        """Of the t that decides; None for the normal."""
        return None if self.groups is None else self.groups - 1

    def z(self, share: float) -> float:
        return self.statistic(share) / math.sqrt(self.deff(share))

    def quantile(self, alpha: float) -> float:
        return normal_quantile(1 - alpha) if self.degrees is None else t_quantile(1 - alpha, self.degrees)

    def bounds(self, alpha: float) -> Bounds:
        """The shares at which the test turns."""
        start, q = self.share, self.quantile(alpha)
        return _crossing(self.z, q, start, -1.0), _crossing(self.z, -q, start, 1.0)

    def p_less(self, share: float) -> float:
        """One-sided p of H0: at least this share is kept."""
        return upper_tail(-self.z(share), self.degrees)


@dataclass(frozen=True, kw_only=True)
class ScoreTest(_Score):
    """With a base: the score test of `contrast_z` over the outcomes of three models.

    `gain`, `kept`: [n] of -1, 0 and 1; `labels`: [n] clusters 0..G-1 or None. Where the candidate answers every item as
    the fine-tuned model did, a cluster counts as one item.
    """

    gain: Values
    kept: Values
    labels: NDArray[np.int64] | None

    @cached_property
    def counts(self) -> tuple[float, ...]:
        """Items of each of `OUTCOMES`."""
        return tuple(float(((self.kept == k) & (self.gain == g)).sum()) for k, g in OUTCOMES)

    @cached_property
    def groups(self) -> int | None:
        return None if self.labels is None else int(self.labels.max()) + 1

    @cached_property
    def identical(self) -> bool:
        return bool((self.gain == self.kept).all())

    @property
    def share(self) -> float:
        return float(self.kept.mean() / self.gain.mean())

    def terms(self, share: float) -> ContrastTerms:
        """The statistic before the design effect, with what it is made of."""
        return contrast_terms(self.counts, [k - share * g for k, g in OUTCOMES])

    def statistic(self, share: float) -> float:
        return self.terms(share).z

    def deff(self, share: float) -> float:
        return 1.0 if self.labels is None else _deff(self.gain, self.kept, self.labels, share)


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


@dataclass(frozen=True, kw_only=True)
class RatioTest(_Score):
    """Without a base: the same score test over the outcomes of two models, which Nam and Blackwelder (Statistics in
    Medicine, 2002) give in closed form.

    Shares of `n` pairs that are right with the baseline, right with the candidate, lost and won. `sides` and `labels`:
    over clusters the two models' values and the clusters 0..G-1, [n] each.
    """

    n: int
    base: float
    candidate: float
    lost: float
    won: float
    sides: tuple[Values, Values] | None = None
    labels: NDArray[np.int64] | None = None

    @cached_property
    def groups(self) -> int | None:
        return None if self.labels is None else int(self.labels.max()) + 1

    @property
    def share(self) -> float:
        return self.candidate / self.base

    def terms(self, share: float) -> NamTerms:
        """The statistic before the design effect, with what it is made of.

        z(r) = (p_cand - r p_base) sqrt(n) / sqrt(r (p10 + p01)), p10 and p01 the most likely shares under
        p_cand = r p_base.
        """
        r, base, cand = share, self.base, self.candidate
        root = math.sqrt((cand - r * r * base) ** 2 + 4 * r * r * self.lost * self.won)
        p01 = max(0.0, (-cand + r * r * (base + 2 * self.won) + root) / (2 * r * (r + 1)))
        q = 1 / r
        root = math.sqrt((base - q * q * cand) ** 2 + 4 * q * q * self.lost * self.won)
        p10 = max(0.0, (-base + q * q * (cand + 2 * self.lost) + root) / (2 * q * (q + 1)))
        spread = math.sqrt(r * (p10 + p01))
        difference = cand - r * base
        if spread > 0:
            z = difference * math.sqrt(self.n) / spread
        else:
            z = 0.0 if difference == 0 else math.copysign(math.inf, difference)
        return NamTerms(p10, p01, difference, spread, z)

    def statistic(self, share: float) -> float:
        return self.terms(share).z if share > _LEAST else math.inf

    def deff(self, share: float) -> float:
        return 1.0 if self.labels is None or self.sides is None else _deff(*self.sides, self.labels, share)


def _deff(gain: Values, kept: Values, labels: NDArray[np.int64], share: float) -> float:
    """Design effect of kept - r gain; where no item differs a cluster counts as one item."""
    seen = design_effect(kept - share * gain, labels)
    return max(seen, gain.size / (int(labels.max()) + 1)) if (gain == kept).all() else seen


class FiellerTerms(NamedTuple):
    """What Fieller's bounds are made of: the roots of a r^2 - 2 half_b r + c = 0."""

    vbb: float
    vcc: float
    vbc: float
    """(Co)variances of the mean gain and of the mean that is kept, over independent units."""
    a: float
    half_b: float
    c: float


@dataclass(frozen=True, kw_only=True)
class FiellerTest:
    """Sums over independent units (items, clusters, documents) by Student's t: Fieller's theorem (1954).

    `gain`, `kept`, `weights`: [G]. Variances are the jackknife's: G / (G - 1) times the plain ones for equal weights,
    and wider where a few units weigh much.
    """

    gain: Values
    kept: Values
    weights: Values

    @property
    def units(self) -> int:
        return self.gain.size

    @property
    def means(self) -> tuple[float, float]:
        """Gain and what is kept of it, per unit of weight."""
        return self._moments[:2]

    @cached_property
    def _moments(self) -> tuple[float, float, float, float, float]:
        """M and K, the sums over sum(weights), and their variances and covariance."""
        total = float(self.weights.sum())
        m, k = float(self.gain.sum()) / total, float(self.kept.sum()) / total
        left = 1 - self.weights / total
        off_m, off_k = (self.gain - m * self.weights) / left, (self.kept - k * self.weights) / left
        scale = (self.units - 1) / self.units / total**2
        vmm, vkk, vmk = (scale * float((a * b).sum()) for a, b in ((off_m, off_m), (off_k, off_k), (off_m, off_k)))
        return m, k, vmm, vkk, vmk

    def quantile(self, alpha: float) -> float:
        return t_quantile(1 - alpha, self.units - 1)

    def terms(self, alpha: float) -> FiellerTerms:
        """a r^2 - 2 half_b r + c = 0, from (K - r M)^2 = t^2 (V_kk - 2 r V_mk + r^2 V_mm)."""
        m, k, vmm, vkk, vmk = self._moments
        square = self.quantile(alpha) ** 2
        return FiellerTerms(vmm, vkk, vmk, m * m - square * vmm, m * k - square * vmk, k * k - square * vkk)

    def bounds(self, alpha: float) -> Bounds:
        """The roots; infinite where the gain may be 0."""
        found = self.terms(alpha)
        if found.a <= 0:
            return -math.inf, math.inf
        root = math.sqrt(max(0.0, found.half_b * found.half_b - found.a * found.c))
        return (found.half_b - root) / found.a, (found.half_b + root) / found.a

    def t(self, share: float) -> float:
        """The statistic at a share; without any spread the sign alone counts."""
        m, k, vmm, vkk, vmk = self._moments
        spread, distance = math.sqrt(max(0.0, vkk - 2 * share * vmk + share * share * vmm)), k - share * m
        if spread > 0:
            return distance / spread
        return math.copysign(math.inf, distance) if distance else 0.0

    def p_less(self, share: float) -> float:
        """One-sided p of H0: at least this share is kept."""
        return upper_tail(-self.t(share), self.units - 1)

    @property
    def p_no_gain(self) -> float:
        """One-sided p of H0: the gain is at most 0. `bounds` are finite from there on."""
        m, _, vmm, _, _ = self._moments
        return upper_tail(m / math.sqrt(vmm), self.units - 1) if vmm > 0 else float(m <= 0)


@dataclass(frozen=True, kw_only=True)
class UnseenTest:
    """Gaffke's test (`harness.stats.bounded`): candidate - r fine-tuned - (1 - r) base is a bounded mean.

    Sums over units, [G], and items in each. With a base no item lies further from 0 than `scale`, the metric's range,
    times the larger of 1, r and 1 - r. Without one, `span`, the metric's least and largest value, says more: no item
    lies outside of least - r largest and largest - r least.
    """

    gain: Values
    kept: Values
    sizes: Values
    scale: float
    span: Bounds | None = None

    @property
    def sparse(self) -> bool:
        """Whether in so few units the candidate differs from the fine-tuned model that t and a design effect cannot be
        trusted, or every unit keeps the same share, so that nothing varies."""
        rest = self.kept - self.kept.sum() / self.gain.sum() * self.gain
        alike = np.abs(rest).max() <= TIED * self.scale * self.sizes.max()
        return bool(alike) or few_changes((self.kept - self.gain) / self.sizes / self.scale)

    def bounds(self, alpha: float) -> Bounds:
        start, q = float(self.kept.sum() / self.gain.sum()), normal_quantile(1 - alpha)

        def more(share: float) -> float:
            return unseen_deviate(share * self.gain - self.kept, self.sizes, self._reach(share)[0], 0.0)

        def less(share: float) -> float:
            return -unseen_deviate(self.kept - share * self.gain, self.sizes, self._reach(share)[1], 0.0)

        return _crossing(more, q, start, -1.0), _crossing(less, -q, start, 1.0)

    def p_less(self, share: float) -> float:
        """One-sided p of H0: at least this share is kept."""
        return unseen_tail(self.kept - share * self.gain, self.sizes, self._reach(share)[1], 0.0)

    def _reach(self, share: float) -> Bounds:
        """How far below and above 0 an item can lie."""
        if self.span is None:
            furthest = self.scale * max(1.0, share, 1 - share)
            return furthest, furthest
        least, most = self.span
        return share * most - least, most - share * least


ShareTest = ScoreTest | RatioTest | FiellerTest


def _crossing(z: Callable[[float], float], target: float, start: float, direction: float) -> float:
    """The first share from `start` in `direction` where z, which falls as the share grows, reaches `target`."""
    step, near, far = 0.05, start, start + 0.05 * direction
    while (z(far) - target) * direction > 0:
        step *= 2
        near, far = far, far + step * direction
        if abs(far) > _FURTHEST:
            return math.inf * direction
    return falling_root(lambda share: (z(share) - target) * direction, near, far, within=1e-10)
