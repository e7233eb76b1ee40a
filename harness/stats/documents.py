"""Perplexity and divergence: ratios whose unit is the document, because tokens of one document are correlated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.stats.clusters import residual_squares, variance_of_sum
from harness.stats.decision import (
    TIED,
    Decision,
    both_tails,
    check_alpha,
    check_scale,
    decide,
    t_quantile,
    unseen_quantile,
    unseen_share,
    upper_tail,
)

Tail = Callable[[float, float | None], float]

FEW_DOCUMENTS = 20
"""Under this many documents the interval is unreliable and nothing is decided."""


@dataclass(frozen=True, kw_only=True)
class PerplexityRatio:
    """Candidate perplexity over the baseline's, with one-sided bounds at 1 - alpha each."""

    ratio: float
    se: float
    """Of the logarithm of the ratio."""
    lower: float
    upper: float
    documents: int
    tokens: float

    @property
    def reliable(self) -> bool:
        return self.documents >= FEW_DOCUMENTS

    def decide(self, max_increase: float) -> Decision:
        """Against a relative increase (0.02 is 2 %)."""
        return decide(self.lower - 1, self.upper - 1, max_increase, ceiling=True, reliable=self.reliable)

    def p_fail(self, max_increase: float) -> float:
        """One-sided p of H0: the increase is at most the limit; under alpha exactly when `decide` says FAIL."""
        return self._tail(math.log1p(max_increase), upper_tail)

    @property
    def p_change(self) -> float:
        """Two-sided p of H0: the same perplexity."""
        return self._tail(0.0, both_tails)

    def _tail(self, limit: float, tail: Tail) -> float:
        distance = (math.log(self.ratio) if self.ratio > 0 else -math.inf) - limit
        return _p(distance, self.se, self.documents, tail) if self.reliable else 1.0


@dataclass(frozen=True, kw_only=True)
class DocumentMean:
    """A mean per token (or per byte) with document-clustered one-sided bounds at 1 - alpha each."""

    mean: float
    se: float
    lower: float
    upper: float
    documents: int
    scale: float | None = None
    """The range of the quantity per count, where one was given."""
    quantile: float = math.inf
    """Student's t with documents - 1 degrees of freedom; infinite for one document."""

    @property
    def reliable(self) -> bool:
        return self.documents >= FEW_DOCUMENTS

    def decide(self, limit: float) -> Decision:
        """Against a ceiling."""
        return decide(self.lower, self.upper, limit, ceiling=True, reliable=self.reliable)

    def p_fail(self, limit: float) -> float:
        """One-sided p of H0: the mean is at most the limit; under alpha exactly when `decide` says FAIL."""
        return self._tail(limit, upper_tail)

    def p_change(self, unchanged: float = 0.0) -> float:
        """Two-sided p of H0: the mean is `unchanged` (1 for a ratio)."""
        return self._tail(unchanged, both_tails)

    def _tail(self, limit: float, tail: Tail) -> float:
        if not self.reliable:
            return 1.0
        if self.se == 0 and self.scale is not None:
            return tail(unseen_quantile((self.mean - limit) / self.scale, self.documents), self.documents - 1)
        return _p(self.mean - limit, self.se, self.documents, tail)


def _p(distance: float, se: float, documents: int, tail: Tail) -> float:
    """The p of a mean `distance` above a limit; without any spread the sign alone decides."""
    if se > 0:
        return tail(distance / se, documents - 1)
    return tail(math.copysign(math.inf, distance), documents - 1) if distance else 1.0


def document_mean(
    sums: ArrayLike, counts: ArrayLike, *, alpha: float = 0.05, scale: float | None = None
) -> DocumentMean:
    """r = sum(sums) / sum(counts) over documents, both [G]; counts not negative.

    SE = sqrt(G/(G-1) * sum((sums - r counts)^2)) / sum(counts), t with G - 1 degrees of freedom. One document
    has no interval (bounds are infinite). `scale` is the range of the quantity per count, 1 for a share:
    where it is given, documents that all agree do not pass for certainty, and the bounds lie
    scale * t^2 / (G + t^2) around the mean. Without it such documents have SE 0 and bounds at the mean.
    Raises ValueError for arrays that do not fit or are not finite, or a scale that is not positive.
    """
    check_alpha(alpha)
    if scale is not None:
        check_scale(scale)
    totals, weights = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if totals.shape != weights.shape or totals.ndim != 1 or totals.size == 0:
        raise ValueError("expected two lists of one length, one entry a document, at least one document")
    if not (np.isfinite(totals).all() and np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError("expected finite sums, no negative count and at least one positive one")
    mean = float(totals.sum() / weights.sum())
    groups = totals.size
    if groups == 1:
        return DocumentMean(mean=mean, se=math.inf, lower=-math.inf, upper=math.inf, documents=1, scale=scale)
    t = t_quantile(1 - alpha, groups - 1)
    se = math.sqrt(variance_of_sum(residual_squares(totals, weights, mean), groups)) / float(weights.sum())
    half = t * se
    if scale is not None and se <= TIED * max(scale, abs(mean)):
        se, half = 0.0, scale * unseen_share(groups, t)
    return DocumentMean(
        mean=mean, se=se, lower=mean - half, upper=mean + half, documents=groups, scale=scale, quantile=t
    )


def perplexity_ratio(delta_nll: ArrayLike, tokens: ArrayLike, *, alpha: float = 0.05) -> PerplexityRatio:
    """exp of the mean extra negative log-likelihood per token, document by document.

    `delta_nll`: [G] candidate minus baseline NLL in nats summed over a document; `tokens`: [G] scored tokens.
    Same tokenizer on both sides, otherwise compare bits per byte. Likelihoods are continuous: no difference
    on any document is the same computation and not luck, so the bounds are then 1 and a model against itself
    passes. Raises ValueError as `document_mean`.
    """
    mean = document_mean(delta_nll, tokens, alpha=alpha)
    return PerplexityRatio(
        ratio=_exp(mean.mean),
        se=mean.se,
        lower=_exp(mean.lower),
        upper=_exp(mean.upper),
        documents=mean.documents,
        tokens=float(np.asarray(tokens, dtype=np.float64).sum()),
    )


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
