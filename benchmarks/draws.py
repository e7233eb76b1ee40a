"""Simulated data with a known truth (no drop, the limit, twice the limit), judged by the functions that gates call.

Owns how data of each form are drawn; which cases there are, and their table, is `simulate.py`'s.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats import (
    BettingTest,
    Decision,
    clustered_drop,
    clustered_recovery,
    graded_recovery,
    mean_level,
    paired_drop,
    paired_recovery,
    perplexity_ratio,
    retained_documents,
    retained_items,
    speed_ratio,
    sum_ratio,
)
from harness.stats.bounded import BoundedMean
from harness.stats.decision import decide
from harness.stats.mover import Stratum, weighted_drop

ALPHA = 0.05
Z = 1.6448536269514722
BASELINE = 0.7
"""Share of items the baseline gets right."""
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Draw = Callable[[np.random.Generator, int, float], "Outcome"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the gate said of each simulated comparison, [sims], and whether an unpaired z-test would have passed it."""

    passed: Flags
    failed: Flags
    z_passed: Flags | None = None


def _said(found: list[Decision]) -> tuple[Flags, Flags]:
    return np.array([each == Decision.PASS for each in found]), np.array([each == Decision.FAIL for each in found])


def _z_passed(base: Floats, cand: Floats, n: int, margin: float, variances: Floats) -> Flags:
    """The unpaired z-test of non-inferiority on the same data, blind to which answers belong together."""
    passed: Flags = (base - cand - margin) < -Z * np.sqrt(variances / n)
    return passed


def binary_limit(d: float) -> float:
    """The limit tried at a discordance: half of it, so that twice the limit can be reached, at most 5 points."""
    return min(d / 2, 0.05)


def _flip_counts(rng: np.random.Generator, sims: int, n: int, d: float, drop: float) -> NDArray[np.int64]:
    """Both right, right to wrong, wrong to right, both wrong, [sims, 4]."""
    worse, better = (d + drop) / 2, (d - drop) / 2
    return rng.multinomial(n, [BASELINE - worse, worse, better, 1 - BASELINE - better], size=sims)


def _shares(counts: NDArray[np.int64], n: int) -> tuple[Floats, Floats, Floats]:
    base, cand = (counts[:, 0] + counts[:, 1]) / n, (counts[:, 0] + counts[:, 2]) / n
    return base, cand, base * (1 - base) + cand * (1 - cand)


def max_drop(n: int, d: float) -> Draw:
    limit = binary_limit(d)

    @functools.cache
    def judged(b: int, c: int) -> Decision:
        return paired_drop(n, b, c, margin=limit).verdict

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        counts = _flip_counts(rng, sims, n, d, truth * limit)
        passed, failed = _said([judged(int(b), int(c)) for b, c in counts[:, 1:3]])
        base, cand, variance = _shares(counts, n)
        return Outcome(passed=passed, failed=failed, z_passed=_z_passed(base, cand, n, limit, variance))

    return draw


@functools.cache
def _stratum(n: int, b: int, c: int) -> Stratum:
    found = paired_drop(n, b, c, margin=ALPHA, alpha=ALPHA)
    return Stratum(drop=found.drop, lower=found.lower, upper=found.upper)


def weighted(sizes: Sequence[int], weights: Sequence[float], d: float, drops: Sequence[float], limit: float) -> Draw:
    """Several samples judged as one. `drops`: the true drop of each at one limit above no loss; the weighted sum of
    them is the limit, and without a loss each flips as often both ways."""

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        counts = [_flip_counts(rng, sims, n, d, truth * drop) for n, drop in zip(sizes, drops, strict=True)]
        said = []
        for place in range(sims):
            flips = ((n, int(each[place, 1]), int(each[place, 2])) for n, each in zip(sizes, counts, strict=True))
            found = weighted_drop([_stratum(*each) for each in flips], weights, np.eye(len(sizes)))
            said.append(decide(found.lower, found.upper, limit, ceiling=True))
        passed, failed = _said(said)
        return Outcome(passed=passed, failed=failed)

    return draw


def recovery(n: int, d: float) -> Draw:
    limit = binary_limit(d)
    kept = 1 - limit / BASELINE

    @functools.cache
    def judged(both: int, b: int, c: int) -> Decision:
        found = paired_recovery(n, both, b, c)
        return Decision.PASS if found.lower > kept else Decision.FAIL if found.upper < kept else Decision.INCONCLUSIVE

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        counts = _flip_counts(rng, sims, n, d, truth * limit)
        passed, failed = _said([judged(int(both), int(b), int(c)) for both, b, c in counts[:, :3]])
        base, cand, _ = _shares(counts, n)
        variance = kept**2 * base * (1 - base) + cand * (1 - cand)
        return Outcome(passed=passed, failed=failed, z_passed=_z_passed(kept * base, cand, n, 0.0, variance))

    return draw


def clustered(n: int, d: float, size: int, icc: float, *, as_recovery: bool = False) -> Draw:
    """Items of a cluster take the cluster's own draw with chance sqrt(icc): any two correlate by icc."""
    limit, labels = binary_limit(d), np.arange(n) // size
    kept = 1 - limit / BASELINE

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        worse, better = (d + truth * limit) / 2, (d - truth * limit) / 2
        cuts = np.cumsum([BASELINE - worse, worse, better])
        own, common = rng.random((sims, n)), np.repeat(rng.random((sims, n // size)), size, axis=1)
        kinds = np.searchsorted(cuts, np.where(rng.random((sims, n)) < math.sqrt(icc), common, own), side="right")
        found, base, cand = [], np.isin(kinds, (0, 1)), np.isin(kinds, (0, 2))
        for left, right in zip(base, cand, strict=True):
            if as_recovery:
                ratio = clustered_recovery(left, right, labels)
                low = Decision.PASS if ratio.lower > kept else Decision.INCONCLUSIVE
                found.append(Decision.FAIL if ratio.upper < kept else low)
            else:
                differences = left.astype(float) - right.astype(float)
                found.append(clustered_drop(differences, labels, margin=limit).verdict)
        passed, failed = _said(found)
        p, q = base.mean(axis=1), cand.mean(axis=1)
        z = None if as_recovery else _z_passed(p, q, n, limit, p * (1 - p) + q * (1 - q))
        return Outcome(passed=passed, failed=failed, z_passed=z)

    return draw


def graded_drop(n: int, d: float, size: int = 1) -> Draw:
    """A share d of the items (whole clusters) changes, by Beta(0.8, 0.8) of the range; the limit is d / 4."""
    limit, labels = d / 4, np.arange(n) // size

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        worse = (truth * limit / (d / 2) + 1) / 2
        units = (sims, n // size)
        amount = rng.beta(0.8, 0.8, units) * np.where(rng.random(units) < worse, 1.0, -1.0)
        changes = np.repeat(np.where(rng.random(units) < d, amount, 0.0), size, axis=1)
        base = rng.beta(2, 1, (sims, n))
        passed, failed = [], []
        for each in changes:
            mean = BoundedMean.of(each, labels, low=-1.0, high=1.0, scale=1.0, clustered=size > 1)
            passed.append(mean.p_below(limit) < ALPHA)
            failed.append(mean.p_above(limit) < ALPHA)
        cand = base - changes
        variance = base.var(axis=1, ddof=1) + cand.var(axis=1, ddof=1)
        z = _z_passed(base.mean(axis=1), cand.mean(axis=1), n, limit, variance)
        return Outcome(passed=np.array(passed), failed=np.array(failed), z_passed=z)

    return draw


def graded_share(n: int, d: float, size: int = 1) -> Draw:
    """The scores of `graded_drop`, judged by the share that is kept; the mean score is 2/3."""
    limit, labels = d / 4, None if size == 1 else np.arange(n) // size
    kept = 1 - limit / (2 / 3)

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        worse = (truth * limit / (d / 2) + 1) / 2
        units = (sims, n // size)
        amount = rng.beta(0.8, 0.8, units) * np.where(rng.random(units) < worse, 1.0, -1.0)
        changes = np.repeat(np.where(rng.random(units) < d, amount, 0.0), size, axis=1)
        base = rng.beta(2, 1, (sims, n))
        return _kept(base, base - changes, labels, kept)

    return draw


def rare_score(n: int, share: float, size: int = 1) -> Draw:
    """Only a share of the items (whole clusters) scores, and scores 1; what is lost is lost whole. The limit lies just
    beyond what no loss at all in so many items can show."""
    units = n // size
    limit, labels = 3.2 / (units * share), None if size == 1 else np.arange(n) // size

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        base = rng.random((sims, units)) < share
        cand = base & (rng.random((sims, units)) >= truth * limit)
        left, right = (np.repeat(each.astype(np.float64), size, axis=1) for each in (base, cand))
        return _kept(left, right, labels, 1 - limit)

    return draw


def _kept(base: Floats, cand: Floats, labels: NDArray[np.int64] | None, limit: float) -> Outcome:
    """What a gate on the share of graded scores says, [sims, n] each. Of no score at all it says nothing."""
    found = [
        decide(each.lower, each.upper, limit, ceiling=False)
        for left, right in zip(base, cand, strict=True)
        if left.any() and (each := graded_recovery(left, right, clusters=labels))
    ]
    passed, failed = _said(found)
    return Outcome(passed=passed, failed=failed)


def max_increase(documents: int, spread: float, *, heavy: bool) -> Draw:
    """Documents of 50 to 2000 tokens; the extra NLL a token of a document is normal, or t with 3 degrees."""
    limit = 0.02

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        tokens = rng.integers(50, 2000, size=(sims, documents)).astype(np.float64)
        noise = rng.standard_t(3, tokens.shape) / math.sqrt(3) if heavy else rng.standard_normal(tokens.shape)
        delta = tokens * (truth * math.log1p(limit) + spread * noise)
        found = [perplexity_ratio(left, right).decide(limit) for left, right in zip(delta, tokens, strict=True)]
        passed, failed = _said(found)
        between = 0.5
        base = rng.normal(3.0, between, tokens.shape)
        extra = delta / tokens
        variance = base.var(axis=1, ddof=1) + (base + extra).var(axis=1, ddof=1)
        z = _z_passed((base + extra).mean(axis=1), base.mean(axis=1), documents, math.log1p(limit), variance)
        return Outcome(passed=passed, failed=failed, z_passed=z)

    return draw


def max_sum_ratio(n: int, spread: float, size: int = 1) -> Draw:
    """Lengths of answers, log-normal; the candidate's vary around a factor by `spread`. The limit is a rise of 5 %."""

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        labels = np.repeat(np.arange(n // size), size) if size > 1 else None
        said = []
        for _ in range(sims):
            common = rng.normal(0, spread, n // size).repeat(size) if size > 1 else rng.normal(0, spread, n)
            baseline = rng.lognormal(4, 0.8, n)
            candidate = baseline * (1 + 0.05 * truth) * np.exp(common - spread**2 / 2)
            found = sum_ratio(candidate, baseline, clusters=labels)
            said.append(decide(found.lower, found.upper, 1 / 1.05, ceiling=False))
        passed, failed = _said(said)
        return Outcome(passed=passed, failed=failed)

    return draw


def level(n: int, floor: float, size: int = 1, icc: float = 0.0) -> Draw:
    """A floor; the true level lies half of the rest above it, on it, or as much below."""
    labels = None if size == 1 else np.arange(n) // size

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        share = floor + (1 - truth) * (1 - floor) / 2
        own, common = rng.random((sims, n)), np.repeat(rng.random((sims, n // size)), size, axis=1)
        right = np.where(rng.random((sims, n)) < math.sqrt(icc), common, own) < share
        known: dict[int, Decision] = {}
        found = []
        for each in right:
            key = int(each.sum())
            if labels is not None or key not in known:
                bounds = mean_level(each, clusters=labels)
                low = Decision.PASS if bounds.lower > floor else Decision.INCONCLUSIVE
                known[key] = Decision.FAIL if bounds.upper < floor else low
            found.append(known[key])
        passed, failed = _said(found)
        return Outcome(passed=passed, failed=failed)

    return draw


KEPT = 0.9
"""The limit of `min_retained`: at no drop everything is kept, at the limit 90 %, at twice the limit 80 %."""


def retained(n: int, gain: float, size: int = 1, icc: float = 0.0, *, graded: bool = False) -> Draw:
    """Base, fine-tuned model and candidate; fine-tuning gains `gain` over a base at 40 %, with 2 % lost on the way.

    The candidate flips of the items 2 % and twice what it may lose. Clusters as in `clustered`. Graded: right and wrong
    are f and 1 - f with f from 0.8 to 1, drawn anew where the candidate flips.
    """
    labels = None if size == 1 else np.arange(n) // size
    tuned = np.array([[0.6 - gain - 0.02, gain + 0.02], [0.02, 0.38]])  # [base, fine-tuned], wrong and right

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        lost, flips = truth * (1 - KEPT) * gain, 0.02 + 2 * (1 - KEPT) * gain
        worse, better = (flips + lost) / 2 / (0.4 + gain), (flips - lost) / 2 / (0.6 - gain)
        shares = tuned[:, :, None] * np.array([[1 - better, better], [worse, 1 - worse]])
        own, common = rng.random((sims, n)), np.repeat(rng.random((sims, n // size)), size, axis=1)
        drawn = np.where(rng.random((sims, n)) < math.sqrt(icc), common, own)
        kinds = np.searchsorted(np.cumsum(shares.ravel())[:-1], drawn, side="right")
        sides = [(kinds >> place & 1).astype(np.float64) for place in (2, 1, 0)]
        if graded:
            f = rng.uniform(0.8, 1.0, (2, sims, n))
            middle, high = sides[1:]
            again = np.where(middle == high, f[0], f[1])
            sides = [np.where(each == 1, by, 1 - by) for each, by in zip(sides, (f[0], f[0], again), strict=True)]
        found = [
            retained_items(*each, clusters=labels, binary=not graded).decide(KEPT) for each in zip(*sides, strict=True)
        ]
        passed, failed = _said(found)
        return Outcome(passed=passed, failed=failed)

    return draw


def retained_texts(documents: int, gain: float) -> Draw:
    """Documents of very unlike length (log-normal, sigma 0.8) with skewed gains, in nats per token."""

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        found = []
        for _ in range(sims):
            tokens = np.exp(rng.normal(6, 0.8, documents))
            gained = gain * np.exp(rng.normal(-0.125, 0.5, documents)) + rng.normal(0, 0.03, documents)
            lost = truth * (1 - KEPT) * gain * np.exp(rng.normal(-0.125, 0.5, documents))
            lost += rng.normal(0, 0.01, documents)
            low = 3 * tokens
            middle = low - gained * tokens
            found.append(retained_documents(low, middle, middle + lost * tokens, tokens).decide(KEPT))
        passed, failed = _said(found)
        return Outcome(passed=passed, failed=failed)

    return draw


def min_ratio(pairs: int, noise: float, *, spikes: bool) -> Draw:
    """Speed-up of 1.3, 1.2 (the limit) or 1.1 with log-normal noise; one pair in ten hit by a pause of up to 30 %."""
    limit = 1.2

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        logs = math.log(limit + (1 - truth) * 0.1) + noise * rng.standard_normal((sims, pairs))
        if spikes:
            pause = rng.uniform(-0.3, 0.3, logs.shape)
            logs += np.where(rng.random(logs.shape) < 0.1, pause, 0.0)
        passed, failed = _said([speed_ratio(each).decide_min(limit) for each in np.exp(logs)])
        return Outcome(passed=passed, failed=failed)

    return draw


def early_fail(n: int, d: float) -> Draw:
    """The test by betting, looked at after every item. It never passes."""
    limit = binary_limit(d)

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        worse, better = (d + truth * limit) / 2, (d - truth * limit) / 2
        u = rng.random((sims, n))
        failed = []
        for each in np.where(u < worse, 1.0, np.where(u < worse + better, -1.0, 0.0)):
            test = BettingTest(margin=limit)
            test.take(each)
            failed.append(test.failed)
        return Outcome(passed=np.zeros(sims, dtype=np.bool_), failed=np.array(failed))

    return draw
