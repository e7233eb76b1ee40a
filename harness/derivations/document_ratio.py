"""Perplexities, bits per byte and means per token: the ratio estimator over documents."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.derivations.gaffke import as_worst_seen
from harness.derivations.shapes import Derivation, Sheet
from harness.metrics.row import TokenMean
from harness.metrics.table import likelihood as computed
from harness.records.columns import Floats
from harness.samples.documents import Divergence, DocumentPairs, sums_of
from harness.samples.measures import Level
from harness.stats import DocumentMean, document_mean
from harness.stats.clusters import residual_squares
from harness.stats.worst_seen import worst_seen_bounds

METHOD = "ratio estimator over documents (linearised variance), Student's t with documents − 1 degrees of freedom"
TOKENS = "scored tokens"


def increase(documents: DocumentPairs, metric: str, found: Level, *, alpha: float) -> Derivation:
    """Candidate over baseline, minus one."""
    left, right, way = documents.baseline_nll, documents.candidate_nll, computed(metric)
    if way.exponential:
        says = "candidate's NLL − baseline's, nats"
        sheet, mean = _ratio(right - left, documents.weights(way), says, way.weights, alpha)
        return _in_terms_of(sheet, mean, found, "e^({x}) − 1", f"extra {way.gain_unit}")
    sheet, mean = _ratio(right, left, "the candidate's NLL, nats", "the baseline's NLL", alpha)
    return _in_terms_of(sheet, mean, found, "{x} − 1", "ratio of the two")


def likelihood(documents: DocumentPairs, metric: str, found: Level, *, alpha: float) -> Derivation:
    """The candidate's own level."""
    way, nll = computed(metric), documents.candidate_nll
    sheet, mean = _ratio(nll, documents.weights(way), "the candidate's NLL, nats", way.weights, alpha)
    return _in_terms_of(sheet, mean, found, "e^({x})" if way.exponential else "{x}", way.gain_unit)


def mean_divergence(
    documents: DocumentPairs, divergence: Divergence, way: TokenMean, found: Level, *, alpha: float
) -> Derivation:
    """A divergence that is a mean per token, or the root of one."""
    sums = sums_of(divergence, way)
    sheet, mean = _ratio(sums, documents.tokens, way.summed, TOKENS, alpha, scale=way.scale)
    if not way.skewed:
        return _in_terms_of(sheet, mean, found, "√{x}" if way.root else "{x}", "mean per token")
    own = mean.lower, mean.upper
    derived = _in_terms_of(sheet, mean, replace(found, lower=own[0], upper=own[1]), "{x}", "mean per token")
    worst = worst_seen_bounds(sums, documents.tokens, alpha=alpha)
    bounds = min(own[0], worst[0]), max(own[1], worst[1])
    return sheet.derivation(derived.method + as_worst_seen(sheet, worst, own, bounds, word="documents"))


def _ratio(
    sums: Floats, weights: Floats, says: str, weight: str, alpha: float, *, scale: float | None = None
) -> tuple[Sheet, DocumentMean]:
    """Counts, ratio, standard error and quantile."""
    mean, sheet = document_mean(sums, weights, alpha=alpha, scale=scale), Sheet("Counted", alpha=alpha)
    sheet.counted("G", mean.documents, "documents")
    sheet.counted("Σx", float(sums.sum()), f"sum over documents of x: {says}")
    sheet.counted("Σw", float(weights.sum()), f"sum over documents of w: {weight}")
    sheet.step("r", "ratio", "{Σx} / {Σw}", mean.mean)
    if mean.documents == 1:
        return sheet, mean
    half = mean.upper - mean.mean
    sheet.section("Standard error")
    if mean.se > 0 or scale is None:
        squares, error = residual_squares(sums, weights, mean.mean), "√({G} / ({G} − 1) · {Σe²}) / {Σw}"
        sheet.counted("Σe²", squares, "sum over documents of (x − r · w)²")
        sheet.step("SE", "standard error of r", error, mean.se)
        sheet.student(mean.quantile)
        sheet.step("h", "half-width", "{t} · {SE}", half)
    else:
        says = "half-width: all documents agree, and that is no certainty"
        sheet.student(mean.quantile)
        sheet.step("h", says, "{scale} · {t}² / ({G} + {t}²)", half, scale=scale)
    return sheet, mean


def _in_terms_of(sheet: Sheet, mean: DocumentMean, found: Level, outer: str, says: str) -> Derivation:
    """The ratio and its bounds in the gate's terms."""
    value, lower, upper = (math.inf if each is None else each for each in (found.value, found.lower, found.upper))
    sheet.section("Bounds")
    sheet.step("value", f"{says}, in the gate's terms", outer.replace("{x}", "{r}"), value)
    if math.isfinite(mean.upper - mean.mean):
        low, high = (outer.replace("{x}", inner) for inner in ("{r} − {h}", "{r} + {h}"))
        if outer == "√{x}":
            low, high = "√(max(0, {r} − {h}))", "√({r} + {h})"
        sheet.step("L", "lower bound", low, lower)
        sheet.step("U", "upper bound", high, upper)
    return sheet.derivation(METHOD)
