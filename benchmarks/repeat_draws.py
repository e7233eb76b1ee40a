"""Simulated answers, several to an item, with a known truth, judged by the functions that gates call."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from draws import ALPHA, Draw, Floats, Outcome, _z_passed

from harness.stats import shared_drop
from harness.stats.bounded import BoundedMean
from harness.stats.rerun import rerun_loss

MIXED = 0.5
"""Both parameters of the Beta that an item's chance of a right answer is drawn from: most items are nearly sure."""
Way = Literal["mean", "pass", "maj"]


def repeated(n: int, k: int, way: Way = "mean", at: int = 1, *, shared: float = 0.8, d: float = 0.1) -> Draw:
    """n items with k answers each; a share d of the items has another chance than the baseline's, drawn anew; what is
    lost beyond is lost by items that the candidate never answers right.

    `shared`: the share of answers that both sides draw with the same random number. The metric is the mean, pass@`at`
    or maj@`at`, and its limit is 5 % of its mean, or half of d where that is less.
    """
    lost = min(0.05, d / 2)
    limit = lost * _expected(k, way, at)

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        first, second = _chances(rng, (sims, n), d, truth * lost)
        base, cand = _right(rng, first, second, k, shared)
        left, right = (_scores(each, way, at) for each in (base, cand))
        said = [_judged(one, other, limit) for one, other in zip(left, right, strict=True)]
        variance = left.var(axis=1, ddof=1) + right.var(axis=1, ddof=1)
        return Outcome(
            passed=np.array([passed for passed, _ in said]),
            failed=np.array([failed for _, failed in said]),
            z_passed=_z_passed(left.mean(axis=1), right.mean(axis=1), n, limit, variance),
        )

    return draw


def noise_limit(n: int, k: int, *, shared: float = 0.8, d: float = 0.1, cap: float = 1.0) -> Draw:
    """`max_drop: noise`: the limit is measured on the baseline's own k answers; at the limit the candidate loses the
    true noise of one run."""
    within = MIXED * MIXED / ((2 * MIXED) * (2 * MIXED + 1))  # E[p (1 - p)]
    limit = min(rerun_loss(within, n), cap)

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        first, second = _chances(rng, (sims, n), d, truth * limit / 0.5)
        base, cand = _right(rng, first, second, k, shared)
        left, right = base.mean(axis=2), cand.mean(axis=2)
        passed, failed = [], []
        for one, other in zip(left, right, strict=True):
            measured = rerun_loss(float((one * (1 - one)).mean()) * k / (k - 1), n)
            yes, no = _judged(one, other, min(measured, cap)) if measured > 0 else (False, False)
            passed.append(yes)
            failed.append(no)
        variance = left.var(axis=1, ddof=1) + right.var(axis=1, ddof=1)
        return Outcome(
            passed=np.array(passed),
            failed=np.array(failed),
            z_passed=_z_passed(left.mean(axis=1), right.mean(axis=1), n, limit, variance),
        )

    return draw


def _chances(rng: np.random.Generator, shape: tuple[int, int], d: float, lost: float) -> tuple[Floats, Floats]:
    """Of a right answer, by item, for both sides. What is drawn anew has no loss on average."""
    first = rng.beta(MIXED, MIXED, shape)
    second = np.where(rng.random(shape) < d, rng.beta(MIXED, MIXED, shape), first)
    return first, np.where(rng.random(shape) < lost, 0.0, second)


def _right(rng: np.random.Generator, first: Floats, second: Floats, k: int, shared: float) -> tuple[Floats, Floats]:
    """Right or wrong of every answer, [sims, n, k] each."""
    shape = (*first.shape, k)
    drawn = rng.random(shape)
    own = np.where(rng.random(shape) < shared, drawn, rng.random(shape))
    return (drawn < first[..., None]).astype(np.float64), (own < second[..., None]).astype(np.float64)


def _scores(right: Floats, way: Way, at: int) -> Floats:
    """An item's score, [sims, n]."""
    k = right.shape[2]
    found: Floats = right.mean(axis=2)
    if way == "mean":
        return found
    if way == "pass":
        chance = np.array([1 - math.comb(k - count, at) / math.comb(k, at) for count in range(k + 1)])
        scores: Floats = chance[right.sum(axis=2).astype(np.int64)]
        return scores
    votes = right[..., :at].sum(axis=2)
    winner: Floats = np.where(2 * votes == at, right[..., 0], (2 * votes > at).astype(np.float64))
    return winner


def _expected(k: int, way: Way, at: int) -> float:
    """The baseline's mean score: by symmetry one half, or 1 - E[(1 - p)^at]."""
    del k
    if way != "pass":
        return 0.5
    rest = math.lgamma(MIXED + at) - math.lgamma(2 * MIXED + at) - math.lgamma(MIXED) + math.lgamma(2 * MIXED)
    return 1 - math.exp(rest)


def _judged(left: Floats, right: Floats, limit: float) -> tuple[bool, bool]:
    """PASS and FAIL as `max_drop` says them: by Tango where every score is 0 or 1, and as graded otherwise."""
    drops = left - right
    if np.isin(left, (0.0, 1.0)).all() and np.isin(right, (0.0, 1.0)).all():
        said = shared_drop(drops, margin=limit, alpha=ALPHA)
        return said.upper < limit, said.lower > limit
    mean = BoundedMean.of(drops, np.arange(drops.size), low=-1.0, high=1.0, scale=1.0, clustered=False)
    return mean.p_below(limit) < ALPHA, mean.p_above(limit) < ALPHA
