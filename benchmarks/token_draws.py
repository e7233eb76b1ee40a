"""Simulated tokens of documents with a known percentile of Δp or a known EAR, judged as gates on them are.

Tokens of a document are alike: each document leans to more or to less divergence, evenly or with a long tail.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import numpy as np
from draws import Draw, Floats, Outcome
from scipy.optimize import brentq
from scipy.stats import gamma, lognorm
from scipy.stats import t as student

from harness.samples.documents import Divergence, DocumentPairs
from harness.samples.measures import divergence_level
from harness.stats.decision import Decision, decide

ALPHA = 0.05
LIMITS = {"delta_p_p1": -0.1, "delta_p_p10": -0.03, "ear_mean": 0.97}
SHORTEST, LONGEST = 30, 200
"""Tokens of a document."""
QUADRATURE = 20_000
"""Leans over which a true percentile is averaged."""
Lean = Literal["even", "long tail"]


def token_gate(documents: int, metric: str, lean: Lean) -> Draw:
    """`min` on a metric of tokens. The truth is half of the limit's loss, the limit, or half of it more."""

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        found = [
            _said(_pairs(rng, documents, metric, lean, 0.5 + 0.5 * truth), metric, LIMITS[metric]) for _ in range(sims)
        ]
        passed, failed = (np.array([each == wanted for each in found]) for wanted in (Decision.PASS, Decision.FAIL))
        return Outcome(passed=passed, failed=failed)

    return draw


def _said(pairs: DocumentPairs, metric: str, limit: float) -> Decision:
    level = divergence_level(pairs, metric, alpha=ALPHA)
    assert level.lower is not None
    assert level.upper is not None
    return decide(level.lower, level.upper, limit, ceiling=False, reliable=level.reliable)


def _leans(rng: np.random.Generator, count: int, lean: Lean) -> Floats:
    """How much documents diverge, 1 in the mean."""
    if lean == "even":
        return rng.gamma(8.0, 1 / 8, count)
    return rng.lognormal(-0.5 * 0.8**2, 0.8, count)


def _pairs(rng: np.random.Generator, documents: int, metric: str, lean: Lean, loss: float) -> DocumentPairs:
    lengths = rng.integers(SHORTEST, LONGEST, documents)
    leans = np.repeat(_leans(rng, documents, lean), lengths)
    sums: dict[str, Floats] = {}
    delta = np.zeros(leans.size)
    if metric == "ear_mean":
        lost = loss * (1 - LIMITS[metric]) * leans * rng.exponential(1.0, leans.size)
        ends = np.cumsum(lengths)
        sums["ear"] = np.add.reduceat(1 - lost, ends - lengths)
    else:
        delta = loss * LIMITS[metric] / _unit(metric, lean) * leans * rng.standard_t(4, leans.size)
    return DocumentPairs(
        task="t",
        baseline_nll=np.zeros(documents),
        candidate_nll=np.zeros(documents),
        tokens=lengths.astype(np.float64),
        bytes=lengths.astype(np.float64),
        slices={},
        divergence=Divergence(sums=sums, values=np.zeros(leans.size), lengths=tuple(lengths.tolist()), delta_p=delta),
        failed=(),
        baseline_failed=(),
        slice_failed={},
        slice_baseline_failed={},
    )


@functools.cache
def _unit(metric: str, lean: Lean) -> float:
    """The true percentile of a lean times Student's t with 4 degrees, by quadrature over the leans."""
    shares = (np.arange(QUADRATURE) + 0.5) / QUADRATURE
    leans = gamma.ppf(shares, 8.0) / 8 if lean == "even" else lognorm.ppf(shares, 0.8, scale=math.exp(-0.5 * 0.8**2))
    wanted = int(metric.rpartition("p")[2]) / 100
    return float(brentq(lambda value: float(student.cdf(value / leans, 4).mean()) - wanted, -100.0, -1e-6))
