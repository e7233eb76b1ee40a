"""Turns paired numbers into the measures a report shows: both values, change, one-sided bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from harness.metrics.row import TokenMaximum, TokenMean, TokenQuantile
from harness.metrics.table import METRICS, likelihood, of_kind
from harness.records.columns import Floats
from harness.records.measures import Measure, Spread
from harness.samples.documents import Divergence, DocumentPairs, below_by_document, sums_of
from harness.samples.pairs import PairedMetric
from harness.samples.whole_pairs import WholePairs
from harness.stats import (
    DocumentMean,
    GradedDrop,
    PairedDrop,
    Recovery,
    clustered_drop,
    document_mean,
    graded_drop,
    perplexity_ratio,
    shared_drop,
    sum_ratio,
)
from harness.stats.bounded import changed_units
from harness.stats.worst_seen import p_at_least, p_at_most, worst_seen_bounds

TAIL_DOCUMENTS = 10
"""With the tokens beyond a percentile in fewer documents, its bounds were seen to miss (docs/statistics.md)."""
ANY_MARGIN = 0.02
"""The bounds of a drop do not depend on the margin; the functions want one for their verdict."""
NO_RATIO = "the baseline's mean is not above 0, so there is no ratio to it"
Claim = Callable[[float], float]


@dataclass(frozen=True, kw_only=True)
class Level:
    """A value with one-sided bounds at 1 - alpha each; None where it is exact or has no interval."""

    value: float
    lower: float | None
    upper: float | None
    n: int
    reliable: bool = True
    why_unreliable: str = ""
    """In words, where it is not for want of documents."""
    p_above: Claim | None = None
    """From a limit to the one-sided p of H0: the value is at most that; None for a value without an interval."""
    p_below: Claim | None = None
    """The same of H0: the value is at least that."""
    p_change: float | None = None
    """Increases: two-sided p of H0: nothing changed."""


def drop_of(metric: PairedMetric, *, margin: float, alpha: float) -> PairedDrop | GradedDrop:
    """The drop by the method that fits: Tango's bound (clustered or not, ties by their share) or the paired t.

    A graded metric's range is taken as 1, or as what was seen where that is more (a log-likelihood, a length)."""
    drops = metric.drops
    if metric.kind == "binary":
        if metric.clusters is not None:
            return clustered_drop(drops, metric.clusters, margin=margin, alpha=alpha)
        return shared_drop(drops, margin=margin, alpha=alpha)
    both = np.concatenate([metric.baseline, metric.candidate])
    scale = max(1.0, float(np.ptp(both)))
    return graded_drop(drops, margin=margin, alpha=alpha, clusters=metric.clusters, scale=scale)


def paired_measure(metric: PairedMetric, *, unit: str, alpha: float) -> Measure:
    """The measure of a per-item metric, with its slices."""
    if metric.count == 0:
        return _empty(metric, unit)
    if metric.kind == "ratio":
        return _ratio_measure(metric, unit, alpha)
    drop = drop_of(metric, margin=ANY_MARGIN, alpha=alpha)
    binary = isinstance(drop, PairedDrop)
    return Measure(
        task=metric.task,
        metric=metric.metric,
        kind=metric.kind,
        unit=unit,
        higher_is_better=metric.higher_is_better,
        n=metric.count,
        clusters=drop.clusters,
        design_effect=drop.deff if isinstance(drop, PairedDrop) and drop.clusters is not None else None,
        spread=None if isinstance(drop, PairedDrop) else _spread(metric, drop),
        baseline=float(metric.baseline.mean()),
        candidate=float(metric.candidate.mean()),
        change=float(metric.drops.mean()),
        lower=drop.lower,
        upper=drop.upper,
        right_to_wrong=int((metric.drops > 0).sum()) if binary else None,
        wrong_to_right=int((metric.drops < 0).sum()) if binary else None,
        mcnemar_midp=drop.mcnemar_midp if isinstance(drop, PairedDrop) else None,
        failed=metric.failed,
        note=drop.warning,
    )


def whole_measure(whole: WholePairs, *, alpha: float) -> Measure:
    """The measure of a metric of the whole, without its slices."""
    found = whole.resampled
    loss = found.loss(alpha=alpha)
    return Measure(
        task=whole.task,
        metric=whole.metric,
        kind="corpus",
        unit="fraction",
        higher_is_better=whole.higher_is_better,
        n=whole.count,
        clusters=found.units if found.clustered else None,
        spread=Spread(error=loss.error, units=found.units, changed=found.changed, scale=1.0),
        baseline=found.baseline,
        candidate=found.candidate,
        change=loss.value,
        lower=None if found.unreliable else loss.lower,
        upper=None if found.unreliable else loss.upper,
        failed=whole.failed,
        note=found.unreliable or None,
    )


def ratio_of(metric: PairedMetric, *, alpha: float) -> Recovery | None:
    """The candidate's sum over the baseline's, by Fieller's theorem; None where the baseline's is not above 0."""
    if not metric.count or metric.baseline.mean() <= 0:
        return None
    return sum_ratio(metric.baseline, metric.candidate, alpha=alpha, clusters=metric.clusters)


def _ratio_measure(metric: PairedMetric, unit: str, alpha: float) -> Measure:
    found = ratio_of(metric, alpha=alpha)
    if found is None:
        none = _empty(metric, unit).model_copy(update={"n": metric.count, "note": NO_RATIO})
        return none.model_copy(update={"baseline": float(metric.baseline.mean())})
    return Measure(
        task=metric.task,
        metric=metric.metric,
        kind=metric.kind,
        unit=unit,
        higher_is_better=metric.higher_is_better,
        n=metric.count,
        clusters=found.clusters,
        baseline=float(metric.baseline.mean()),
        candidate=float(metric.candidate.mean()),
        change=found.ratio - 1,
        lower=found.lower - 1,
        upper=found.upper - 1,
        failed=metric.failed,
        note=found.warning,
    )


def _spread(metric: PairedMetric, drop: GradedDrop) -> Spread:
    means = metric.drops
    if metric.clusters is not None:
        means = np.bincount(metric.clusters, weights=means) / np.bincount(metric.clusters)
    scale = max(drop.scale, float(np.abs(metric.drops).max()))
    return Spread(
        error=drop.se,
        units=means.size,
        changed=changed_units(means / scale),
        scale=scale,
        answers=metric.answers if metric.within is not None else None,
        within=metric.within,
    )


def _empty(metric: PairedMetric, unit: str) -> Measure:
    return Measure(
        task=metric.task,
        metric=metric.metric,
        kind=metric.kind,
        unit=unit,
        higher_is_better=metric.higher_is_better,
        n=0,
        baseline=None,
        candidate=None,
        change=None,
        lower=None,
        upper=None,
        failed=metric.failed,
        note="no item could be asked",
    )


def increase_of(documents: DocumentPairs, metric: str, *, alpha: float) -> Level:
    """Relative increase of a perplexity or of bits per byte, candidate over baseline, minus one."""
    if likelihood(metric).exponential:
        weights = documents.weights(likelihood(metric))
        ratio = perplexity_ratio(documents.candidate_nll - documents.baseline_nll, weights, alpha=alpha)
        return Level(
            value=ratio.ratio - 1,
            lower=ratio.lower - 1,
            upper=ratio.upper - 1,
            n=ratio.documents,
            reliable=ratio.reliable,
            p_above=ratio.p_fail,
            p_change=ratio.p_change,
        )
    share = document_mean(documents.candidate_nll, documents.baseline_nll, alpha=alpha)
    return Level(
        value=share.mean - 1,
        lower=share.lower - 1,
        upper=share.upper - 1,
        n=share.documents,
        reliable=share.reliable,
        p_above=lambda limit: share.p_fail(1 + limit),
        p_change=share.p_change(1.0),
    )


def likelihood_level(nll: Floats, documents: DocumentPairs, metric: str, *, alpha: float) -> Level:
    """A perplexity or bits per byte of one side, with a document-clustered interval."""
    way = likelihood(metric)
    mean = document_mean(nll, documents.weights(way), alpha=alpha)
    shape, back = (_exp, _log) if way.exponential else (float, float)
    return Level(
        value=shape(mean.mean),
        lower=shape(mean.lower),
        upper=shape(mean.upper),
        n=mean.documents,
        reliable=mean.reliable,
        p_above=lambda limit: mean.p_fail(back(limit)),
        p_below=lambda limit: _below(mean, back(limit)),
    )


def _below(mean: DocumentMean, limit: float) -> float:
    """One-sided p of H0: the mean is at least the limit."""
    return replace(mean, mean=-mean.mean, lower=-mean.upper, upper=-mean.lower).p_fail(-limit)


def _log(limit: float) -> float:
    return math.log(limit) if limit > 0 else -math.inf


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def divergence_level(documents: DocumentPairs, metric: str, *, alpha: float) -> Level:
    """A divergence figure with its interval. Quantiles: Woodruff's (1952) interval, the clustered bounds of the
    share of positions below the estimate, read back through the empirical distribution."""
    divergence = documents.divergence
    if divergence is None or not divergence.has(metric):
        raise ValueError(f"{documents.task}: {'divergence' if divergence is None else metric} was not measured")
    match METRICS[metric].computed:
        case TokenMaximum():
            return Level(value=float(divergence.values.max()), lower=None, upper=None, n=documents.count)
        case TokenQuantile() as quantile:
            return woodruff(documents, divergence, quantile, alpha=alpha)[0]
        case TokenMean() as way:
            return _token_mean(documents, divergence, way, alpha=alpha)
        case _:
            raise ValueError(f"{metric} is no divergence")


def _token_mean(documents: DocumentPairs, divergence: Divergence, way: TokenMean, *, alpha: float) -> Level:
    mean = document_mean(sums_of(divergence, way), documents.tokens, alpha=alpha, scale=way.scale)
    figures = (mean.mean, mean.lower, mean.upper)
    if way.root:
        figures = (math.sqrt(mean.mean), math.sqrt(max(0.0, mean.lower)), math.sqrt(mean.upper))

    def back(limit: float) -> float:
        return math.copysign(limit * limit, limit) if way.root else limit

    level = Level(
        value=figures[0],
        lower=figures[1],
        upper=figures[2],
        n=mean.documents,
        reliable=mean.reliable,
        p_above=lambda limit: mean.p_fail(back(limit)),
        p_below=lambda limit: _below(mean, back(limit)),
    )
    return _with_worst_seen(level, sums_of(divergence, way), documents.tokens, alpha) if way.skewed else level


def _with_worst_seen(level: Level, sums: Floats, tokens: Floats, alpha: float) -> Level:
    """No bound narrower than with one more document as bad as the worst seen."""
    lower, upper = worst_seen_bounds(sums, tokens, alpha=alpha)
    above, below = level.p_above, level.p_below
    assert above is not None
    assert below is not None
    return replace(
        level,
        lower=min(lower, -math.inf if level.lower is None else level.lower),
        upper=max(upper, math.inf if level.upper is None else level.upper),
        p_above=lambda limit: max(above(limit), p_at_most(sums, tokens, limit)),
        p_below=lambda limit: max(below(limit), p_at_least(sums, tokens, limit)),
    )


def woodruff(
    documents: DocumentPairs, divergence: Divergence, quantile: TokenQuantile, *, alpha: float
) -> tuple[Level, DocumentMean]:
    """A sample quantile with Woodruff's interval, and the share of positions up to it that the interval rests on."""
    values = divergence.of(quantile.of)
    estimate = float(np.quantile(values, quantile.probability))
    below = document_mean(below_by_document(divergence, estimate, quantile.of), documents.tokens, alpha=alpha)
    low, high = (float(np.quantile(values, min(1.0, max(0.0, share)))) for share in (below.lower, below.upper))
    held = _held_by(divergence, estimate, quantile)
    level = Level(
        value=estimate,
        lower=min(low, estimate),
        upper=max(high, estimate),
        n=below.documents,
        reliable=below.reliable and held >= TAIL_DOCUMENTS,
        why_unreliable=""
        if held >= TAIL_DOCUMENTS or not below.reliable
        else f"its tail lies in few documents, as in {held:.1f} that share it evenly ({TAIL_DOCUMENTS} at least)",
        p_above=lambda limit: below.p_fail(_share_below(values, limit)),
        p_below=lambda limit: _below(below, _share_below(values, limit)),
    )
    return level, below


def _held_by(divergence: Divergence, estimate: float, quantile: TokenQuantile) -> float:
    """In how many documents the tokens beyond a percentile of Δp lie: (Σb)²/Σb², as many as share them evenly.

    Infinite for quantiles of KL, which go by the number of documents alone.
    """
    if quantile.of == "kl_values":
        return math.inf
    beyond = below_by_document(divergence, estimate, quantile.of, above=quantile.probability > 0.5)
    squares = float((beyond**2).sum())
    return float(beyond.sum()) ** 2 / squares if squares > 0 else 0.0


def _share_below(values: Floats, limit: float) -> float:
    """The share whose quantile is the limit; infinite where the limit lies outside of the values."""
    places = np.linspace(0.0, 1.0, values.size)
    return float(np.interp(limit, np.sort(values), places, left=-math.inf, right=math.inf))


def document_measures(documents: DocumentPairs, *, alpha: float) -> tuple[Measure, ...]:
    """Every metric of likelihoods and, where it was measured, of divergence."""
    if not documents.count:
        return ()
    few = "under 20 documents: the interval is unreliable"
    measures = []
    for row in documents.likelihoods:
        increase = increase_of(documents, row.name, alpha=alpha)
        measures.append(
            Measure(
                task=documents.task,
                metric=row.name,
                kind="perplexity",
                unit=row.unit,
                higher_is_better=row.higher_is_better,
                n=documents.count,
                baseline=likelihood_level(documents.baseline_nll, documents, row.name, alpha=alpha).value,
                candidate=likelihood_level(documents.candidate_nll, documents, row.name, alpha=alpha).value,
                change=increase.value,
                lower=increase.lower,
                upper=increase.upper,
                failed=len(documents.failed),
                note=None if increase.reliable else few,
            )
        )
    if documents.divergence is not None:
        for row in of_kind("divergence"):
            if not documents.divergence.has(row.name):
                continue
            level = divergence_level(documents, row.name, alpha=alpha)
            measures.append(
                Measure(
                    task=documents.task,
                    metric=row.name,
                    kind="divergence",
                    unit=row.unit,
                    higher_is_better=row.higher_is_better,
                    n=level.n,
                    baseline=None,
                    candidate=level.value,
                    change=level.value,
                    lower=level.lower,
                    upper=level.upper,
                    note=None if level.reliable else level.why_unreliable or few,
                )
            )
    return tuple(measures)


def only_documents(documents: DocumentPairs, name: str) -> DocumentPairs:
    """The documents of one slice, without divergence (its positions are not kept apart by slice)."""
    inside = documents.slices[name]
    return DocumentPairs(
        task=documents.task,
        baseline_nll=documents.baseline_nll[inside],
        candidate_nll=documents.candidate_nll[inside],
        tokens=documents.tokens[inside],
        bytes=documents.bytes[inside],
        words=None if documents.words is None else documents.words[inside],
        slices={},
        divergence=None,
        failed=documents.slice_failed.get(name, ()),
        baseline_failed=documents.slice_baseline_failed.get(name, ()),
        slice_failed={},
        slice_baseline_failed={},
    )
