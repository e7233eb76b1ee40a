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
    from harness.derivations.shapes import Derivation
    from harness.forms.design import Certified, Design
    from harness.samples.pairs import PairedMetric
    from harness.samples.sample import DocumentSample, MemoryPair
    from harness.samples.timed_pairs import SpeedPairs
    from harness.samples.whole_pairs import WholePairs
    from harness.stats import MeanLevel

    Measured = PairedMetric | WholePairs | DocumentSample | SpeedPairs | MemoryPair


def judge_level(sample: Measured, terms: Terms, *, ceiling: bool) -> Judgement:
    from harness.forms.whole import judge_whole_level
    from harness.samples.sample import unit_of
    from harness.samples.whole_pairs import WholePairs

    if isinstance(sample, WholePairs):
        return judge_whole_level(sample, terms, ceiling=ceiling)
    estimate, warning = _estimate(sample, terms, ceiling=ceiling)
    decision = decide(estimate, terms.limit, ceiling=ceiling)
    unit = unit_of(sample)
    measured = f"{sample.metric} is {Notation.LEVEL.amount(estimate.value, unit)}"
    if estimate.lower is not None and estimate.upper is not None:
        measured += f" ({Notation.LEVEL.bounds(estimate.lower, estimate.upper, unit)})"
    measured += f", limit {side(ceiling=ceiling)} {Notation.LEVEL.amount(terms.limit, unit)}"
    few = estimate.why_unreliable if decision == "INCONCLUSIVE" and not estimate.reliable else None
    return Judgement(decision=decision, reason=reasoned(measured, decision, warning, few), estimate=estimate)


def _estimate(
    sample: PairedMetric | DocumentSample | SpeedPairs | MemoryPair, terms: Terms, *, ceiling: bool
) -> tuple[Estimate, str | None]:
    """The candidate's own value, and a warning about its interval."""
    from harness.samples.measures import divergence_level, likelihood_level
    from harness.samples.pairs import PairedMetric
    from harness.samples.sample import DocumentSample
    from harness.samples.timed_pairs import SpeedPairs
    from harness.stats import speed_ratio

    limit, alpha = terms.limit, terms.alpha
    match sample:
        case PairedMetric():
            level = level_of(sample, alpha=alpha)
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


def level_of(sample: PairedMetric, *, alpha: float) -> MeanLevel:
    """The mean of the candidate's own values."""
    from harness.stats import mean_level

    return mean_level(sample.candidate, alpha=alpha, clusters=sample.clusters, shares=sample.kind == "binary")


def derive_level(sample: Measured, terms: Terms) -> Derivation:
    from harness.derivations.bootstrap import of_whole
    from harness.derivations.exact_bytes import exact_bytes
    from harness.derivations.mean_level import level_of_items
    from harness.derivations.signed_rank import signed_rank
    from harness.samples.pairs import PairedMetric
    from harness.samples.sample import DocumentSample
    from harness.samples.timed_pairs import SpeedPairs
    from harness.samples.whole_pairs import WholePairs
    from harness.stats import speed_ratio

    alpha = terms.alpha
    match sample:
        case WholePairs():
            return of_whole(sample, "own", alpha=alpha)
        case PairedMetric():
            return level_of_items(sample.candidate, level_of(sample, alpha=alpha), alpha=alpha)
        case DocumentSample():
            return _of_documents(sample, alpha)
        case SpeedPairs():
            found = speed_ratio(sample.candidate, alpha=alpha)
            return signed_rank(sample.candidate, found, "the candidate's value of each pair", alpha=alpha)
    return exact_bytes(sample, ratio=False)


def _of_documents(sample: DocumentSample, alpha: float) -> Derivation:
    from harness.derivations import document_ratio, woodruff
    from harness.metrics.row import TokenMaximum, TokenMean, TokenQuantile
    from harness.metrics.table import METRICS
    from harness.samples.measures import divergence_level, likelihood_level

    documents, metric, divergence = sample.documents, sample.metric, sample.documents.divergence
    if sample.kind != "divergence" or divergence is None:
        level = likelihood_level(documents.candidate_nll, documents, metric, alpha=alpha)
        return document_ratio.likelihood(documents, metric, level, alpha=alpha)
    match METRICS[metric].computed:
        case TokenMaximum():
            return woodruff.largest(divergence)
        case TokenQuantile() as way:
            return woodruff.quantile(documents, divergence, way, alpha=alpha)
        case TokenMean() as way:
            level = divergence_level(documents, metric, alpha=alpha)
            return document_ratio.mean_divergence(documents, divergence, way, level, alpha=alpha)
    raise ValueError(f"{metric} is no divergence")


def certify_level(design: Design, limit: float, *, ceiling: bool) -> Certified:
    from harness.forms.certified_level import certify_documents, certify_measured, certify_right
    from harness.forms.design import UNKNOWN

    if design.kind == "ratio":
        return UNKNOWN
    if design.kind in ("binary", "graded", "corpus"):
        return certify_right(design, limit, ceiling=ceiling)
    if design.kind in ("speed", "memory"):
        return certify_measured(design)
    return certify_documents(design) or UNKNOWN


MIN, MAX = (
    Form(
        key=key,
        ceiling=ceiling,
        domain=(-math.inf, math.inf),
        kinds=frozenset({"binary", "graded", "ratio", "corpus", "perplexity", "divergence", "speed", "memory"}),
        notation=Notation.LEVEL,
        looks_at="own",
        judge=partial(judge_level, ceiling=ceiling),
        derive=derive_level,
        certify=partial(certify_level, ceiling=ceiling),
        neutral=None,
    )
    for key, ceiling in (("min", False), ("max", True))
)
