"""Simulated populations of paired answers for statistics of the whole, judged by the paired bootstrap that gates call.

A population of paired items is drawn once; its own statistics are the truth, and the limit is its loss, half of it for
“twice the limit”. “No drop” draws from a population that loses nothing under the same limit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from draws import ALPHA, Draw, Outcome
from numpy.typing import NDArray

from harness.metrics.sums import CALIBRATION_BINS as BINS
from harness.metrics.sums import (
    bleu,
    calibration_error,
    calibration_extremes,
    calibration_inflation,
    kappa,
    macro_f1,
    mcc,
)
from harness.stats.bootstrap import OfSums, OfUnits, best_quarter, resample, summed
from harness.stats.decision import Decision, decide

Floats = NDArray[np.float64]
SIZE = 100_000
"""Items of a population."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """What paired items add to the sums, [SIZE, k], and what an unseen one can add."""

    baseline: Floats
    candidate: Floats
    best: Floats
    worst: Floats
    of: OfSums
    higher_is_better: bool = True
    inflation: OfUnits | None = None

    @property
    def loss(self) -> float:
        change = float(self.of(self.baseline.sum(0)) - self.of(self.candidate.sum(0)))
        return change if self.higher_is_better else -change


Make = Callable[[bool], Population]
"""From whether the candidate loses something."""


def corpus(make: Make, n: int, size: int = 1) -> Draw:
    """`max_drop` of a statistic of n items, in clusters of `size` that change whole."""
    population = functools.cache(make)

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        limit = population(True).loss / max(truth, 1.0)
        drawn = population(truth > 0)
        found = [_judged(drawn, rng, n // size, size, limit) for _ in range(sims)]
        passed, failed = (np.array([each == said for each in found]) for said in (Decision.PASS, Decision.FAIL))
        return Outcome(passed=passed, failed=failed)

    return draw


def _judged(drawn: Population, rng: np.random.Generator, units: int, size: int, limit: float) -> Decision:
    places = rng.integers(0, SIZE, units)
    rows = np.repeat(places, size)
    found = resample(
        summed(
            drawn.baseline[rows],
            drawn.candidate[rows],
            drawn.of,
            best=drawn.best,
            worst=drawn.worst,
            higher_is_better=drawn.higher_is_better,
            clusters=None if size == 1 else np.repeat(np.arange(units), size),
            inflation=drawn.inflation,
        ),
        seed=int(rng.integers(1 << 31)),
    )
    loss = found.loss(alpha=ALPHA)
    return decide(loss.lower, loss.upper, limit, ceiling=True, reliable=not found.unreliable)


def accuracy(sums: Floats) -> Floats:
    """From the same sums as F1 over classes."""
    classes = sums.shape[-1] // 3
    found: Floats = sums[..., :classes].sum(-1) / sums[..., 2 * classes :].sum(-1)
    return found


def _class_rows(wanted: NDArray[np.int64], given: NDArray[np.int64], classes: int) -> Floats:
    rows, place = np.zeros((wanted.size, 3 * classes)), np.arange(wanted.size)
    rows[place, wanted] = wanted == given
    rows[place, classes + given] = 1
    rows[place, 2 * classes + wanted] = 1
    return rows


def classes(
    of: OfSums, *, count: int, rare: float, right: float, redrawn: float, lost: float, rare_lost: float
) -> Make:
    """Items of `count` classes, the last one of them `rare`. The candidate answers a share anew and loses some."""

    def make(loses: bool) -> Population:
        rng = np.random.default_rng(20_261)
        shares = np.full(count, (1 - rare) / (count - 1))
        shares[-1] = rare
        wanted = rng.choice(count, SIZE, p=shares)

        def answered() -> NDArray[np.int64]:
            other = (wanted + rng.integers(1, count, SIZE)) % count
            return np.where(rng.random(SIZE) < right, wanted, other)

        before = answered()
        after = np.where(rng.random(SIZE) < redrawn, answered(), before)
        if loses:
            gone = rng.random(SIZE) < np.where(wanted == count - 1, rare_lost, lost)
            after = np.where(gone, (wanted + rng.integers(1, count, SIZE)) % count, after)
        pairs = np.array([(c, d) for c in range(count) for d in range(count) if c != d])
        return Population(
            baseline=_class_rows(wanted, before, count),
            candidate=_class_rows(wanted, after, count),
            best=_class_rows(pairs[:, 0], pairs[:, 0], count),
            worst=_class_rows(pairs[:, 0], pairs[:, 1], count),
            of=of,
        )

    return make


def texts(level: float, lost: float) -> Make:
    """Answers of 4 to 40 words; `level`: logit of the share of n-grams that match, of which the candidate loses."""

    def make(loses: bool) -> Population:
        rng = np.random.default_rng(20_262)
        words, skill = rng.integers(4, 40, SIZE), rng.normal(0, 1, SIZE)

        def side(logit: Floats) -> Floats:
            share = 1 / (1 + np.exp(-logit))
            length = np.maximum(4, np.round(words * np.exp(rng.normal(0, 0.15, SIZE)))).astype(np.int64)
            match = [rng.binomial(np.minimum(length, words) - k, share ** (1 + k / 2)) for k in range(4)]
            return np.stack([*match, *(length - k for k in range(4)), length, words], axis=1).astype(np.float64)

        before = side(level + skill)
        after = side(level + skill + rng.normal(0, 0.3, SIZE) - lost * loses)
        after = np.where((rng.random(SIZE) < 0.4)[:, None], before, after)
        best = best_quarter(before[:2000], bleu)
        nothing = best * np.array([0.0] * 4 + [1.0] * 6)
        return Population(baseline=before, candidate=after, best=best, worst=nothing, of=bleu)

    return make


def calibration(sharper: float) -> Make:
    """A baseline that knows how sure it can be, and a candidate that is surer by a factor of its logits."""

    def make(loses: bool) -> Population:
        rng = np.random.default_rng(20_263)
        logit = rng.normal(1, 1.2, SIZE)
        right = rng.random(SIZE) < 1 / (1 + np.exp(-logit))

        def side(logits: Floats) -> Floats:
            share = 1 / (1 + np.exp(-logits))
            sure, hit = np.maximum(share, 1 - share), (share > 0.5) == right
            bins = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
            rows, place = np.zeros((SIZE, 3 * BINS)), np.arange(SIZE)
            for part, values in enumerate((sure, hit, np.ones(SIZE))):
                rows[place, part * BINS + bins] = values
            return rows

        best, worst = calibration_extremes()
        return Population(
            baseline=side(logit),
            candidate=side(logit * (sharper if loses else 1.0) + rng.normal(0, 0.1, SIZE)),
            best=best,
            worst=worst,
            of=calibration_error,
            higher_is_better=False,
            inflation=calibration_inflation,
        )

    return make


POPULATIONS: dict[str, Make] = {
    "accuracy, 95 % right, loses 1.4 pp": classes(
        accuracy, count=4, rare=0.1, right=0.95, redrawn=0.03, lost=0.015, rare_lost=0.015
    ),
    "macro F1, 5 classes, one of 2 %, which loses 30 %": classes(
        macro_f1, count=5, rare=0.02, right=0.8, redrawn=0.05, lost=0.0, rare_lost=0.3
    ),
    "macro F1, 5 classes, one of 5 %, all lose 3 %": classes(
        macro_f1, count=5, rare=0.05, right=0.8, redrawn=0.1, lost=0.03, rare_lost=0.03
    ),
    "macro F1, baseline always right, a class of 5 % loses 40 %": classes(
        macro_f1, count=3, rare=0.05, right=1.0, redrawn=0.0, lost=0.0, rare_lost=0.4
    ),
    "MCC, 2 classes, one of 5 %, which loses 30 %": classes(
        mcc, count=2, rare=0.05, right=0.95, redrawn=0.05, lost=0.0, rare_lost=0.3
    ),
    "kappa, 3 classes, 2 % of the answers lost, nothing else changes": classes(
        kappa, count=3, rare=0.3, right=0.9, redrawn=0.0, lost=0.02, rare_lost=0.02
    ),
    "BLEU of about 20, loses 1": texts(0.0, 0.1),
    "BLEU of about 1, loses 0.3": texts(-2.5, 0.2),
    "calibration error, perfect before, 6 pp after": calibration(1.5),
}
