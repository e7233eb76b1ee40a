"""Speed ratios from adjacent timed pairs: Hodges-Lehmann on logarithms, exact signed-rank bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.decision import Decision, check_alpha, decide, normal_quantile, upper_tail

FEW_PAIRS = 10
"""Fewer pairs than this are too few to judge."""
EXACT_PAIRS = 60
"""Above this the normal approximation of the signed-rank distribution is used."""


@dataclass(frozen=True, kw_only=True)
class SpeedRatio:
    """A typical ratio with one-sided bounds at 1 - alpha each; 0 and infinity where pairs are too few."""

    ratio: float
    lower: float
    upper: float
    pairs: int
    cut: int = 0
    """The bounds are the cut-th smallest and largest Walsh average; 0 where there are too few pairs for any."""
    averages: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    """Logarithms of the Walsh averages, ascending."""

    @property
    def reliable(self) -> bool:
        return self.pairs >= FEW_PAIRS

    def decide_min(self, limit: float) -> Decision:
        """The ratio must be at least `limit`."""
        return decide(self.lower, self.upper, limit, ceiling=False, reliable=self.reliable)

    def p_fail_min(self, limit: float) -> float:
        """One-sided p of H0: the ratio is at least `limit`; at most alpha exactly when `decide_min` says FAIL."""
        return self._p(int((self.averages >= _log(limit)).sum()))

    def p_fail_max(self, limit: float) -> float:
        """The same for `decide_max`."""
        return self._p(int((self.averages <= _log(limit)).sum()))

    def _p(self, against: int) -> float:
        """P(W+ <= against): the chance of so few Walsh averages on the limit's good side."""
        return signed_rank_share(self.pairs, against) if self.reliable else 1.0

    def decide_max(self, limit: float) -> Decision:
        """The ratio must be at most `limit`."""
        return decide(self.lower, self.upper, limit, ceiling=True, reliable=self.reliable)


def speed_ratio(ratios: ArrayLike, *, alpha: float = 0.05) -> SpeedRatio:
    """`ratios`: [pairs] candidate over baseline of adjacent runs, positive.

    Estimate: exp of the median Walsh average of the logarithms (Hodges and Lehmann 1963). Bounds: the Walsh
    averages cut off by the exact null distribution of Wilcoxon's signed rank at level alpha on each side.
    Raises ValueError for no ratios or ratios that are not positive and finite.
    """
    check_alpha(alpha)
    values = np.asarray(ratios, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError("speed_ratio: expected a list of positive, finite ratios with at least one entry")
    n, walsh = values.size, walsh_averages(values)
    cut = signed_rank_cut(n, alpha)
    lower, upper = (0.0, math.inf) if cut < 1 else (math.exp(walsh[cut - 1]), math.exp(walsh[-cut]))
    return SpeedRatio(
        ratio=math.exp(float(np.median(walsh))), lower=lower, upper=upper, pairs=n, cut=cut, averages=walsh
    )


def walsh_averages(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """Averages of every two logarithms, each with itself too, sorted; [n (n + 1) / 2]."""
    logs = np.log(ratios)
    rows, columns = np.triu_indices(logs.size)
    averages: NDArray[np.float64] = np.sort((logs[rows] + logs[columns]) / 2)
    return averages


def signed_rank_cut(n: int, alpha: float) -> int:
    """The largest k with P(W+ <= k - 1) <= alpha for n pairs: the k-th smallest Walsh average is the bound.

    0 where even W+ = 0 is likelier than alpha (n < 5 at alpha = 0.05).
    """
    if n > EXACT_PAIRS:
        mean, sd = _moments(n)
        return max(0, math.floor(mean + normal_quantile(alpha) * sd - 0.5) + 1)
    return int(np.searchsorted(_signed_rank_distribution(n), alpha, side="right"))


def signed_rank_share(n: int, most: int) -> float:
    """P(W+ <= most) for n pairs, exact up to `EXACT_PAIRS`."""
    if n > EXACT_PAIRS:
        mean, sd = _moments(n)
        return upper_tail((mean - most - 0.5) / sd)
    return float(_signed_rank_distribution(n)[most])


def _log(limit: float) -> float:
    return math.log(limit) if limit > 0 else -math.inf


def _moments(n: int) -> tuple[float, float]:
    """Mean and standard deviation of W+."""
    return n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24)


def _signed_rank_distribution(n: int) -> NDArray[np.float64]:
    """P(W+ <= k) for k from 0 to n (n + 1) / 2."""
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1.0
    for rank in range(1, n + 1):
        counts[rank:] += counts[:-rank].copy()
    probabilities: NDArray[np.float64] = np.cumsum(counts) / 2.0**n
    return probabilities
