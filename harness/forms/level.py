"""`min` and `max`: a metric's own value, whatever the baseline's is."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from harness.forms.base import Estimate, Form, Judgement, Terms, decide, reasoned, side
from harness.forms.increase import document_estimate
from harness.forms.ratio import timed_estimate
from harness.notation import Notation

if TYPE_CHECKING:
    from harness.samples.pairs import PairedMetric
    from harness.samples.sample import DocumentSample, MemoryPair
    from harness.samples.timed_pairs import SpeedPairs

    Measured = PairedMetric | DocumentSample | SpeedPairs | MemoryPair


def judge_level(sample: Measured, terms: Terms, *, ceiling: bool) -> Judgement:
    from harness.samples.sample import unit_of

    estimate, warning = _estimate(sample, terms, ceiling=ceiling)
    decision = decide(estimate, terms.limit, ceiling=ceiling)
    unit = unit_of(sample)
    measured = f"{sample.metric} is {Notation.LEVEL.amount(estimate.value, unit)}"
    if estimate.lower is not None and estimate.upper is not None:
        measured += f" ({Notation.LEVEL.bounds(estimate.lower, estimate.upper, unit)})"
    measured += f", limit {side(ceiling=ceiling)} {Notation.LEVEL.amount(terms.limit, unit)}"
    few = estimate.why_unreliable if decision == "INCONCLUSIVE" and not estimate.reliable else None
    return Judgement(decision=decision, reason=reasoned(measured, decision, warning, few), estimate=estimate)


def _estimate(sample: Measured, terms: Terms, *, ceiling: bool) -> tuple[Estimate, str | None]:
    """The candidate's own value, and a warning about its interval."""
    from harness.samples.measures import divergence_level, likelihood_level
    from harness.samples.pairs import PairedMetric
    from harness.samples.sample import DocumentSample
    from harness.samples.timed_pairs import SpeedPairs
    from harness.stats import mean_level, speed_ratio

    limit, alpha = terms.limit, terms.alpha
    match sample:
        case PairedMetric():
            level = mean_level(sample.candidate, alpha=alpha, clusters=sample.clusters, shares=sample.kind == "binary")
            p = (level.p_above if ceiling else level.p_below)(limit)
            return Estimate(value=level.mean, lower=level.lower, upper=level.upper, n=level.n, p=p), level.warning
        case DocumentSample(documents=documents, metric=metric):
            found = (
                divergence_level(documents, metric, alpha=alpha)
                if sample.kind == "divergence"
                else likelihood_level(documents.candidate_nll, documents, metric, alpha=alpha)
            )
            return document_estimate(found, limit, ceiling=ceiling), None
        case SpeedPairs():
            return timed_estimate(speed_ratio(sample.candidate, alpha=alpha), limit, ceiling=ceiling), None
    return Estimate(value=float(sample.candidate or 0), lower=None, upper=None, n=1), None


MIN, MAX = (
    Form(
        key=key,
        ceiling=ceiling,
        domain=(-math.inf, math.inf),
        kinds=frozenset({"binary", "graded", "perplexity", "divergence", "speed", "memory"}),
        notation=Notation.LEVEL,
        looks_at="own",
        judge=partial(judge_level, ceiling=ceiling),
        neutral=None,
    )
    for key, ceiling in (("min", False), ("max", True))
)
