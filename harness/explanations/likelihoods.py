"""Perplexity, bits per byte and divergence with their numbers put in: ratios over documents, quantiles."""

from __future__ import annotations

import math

import numpy as np

from harness.explanations.shapes import Section, Step, counted, step
from harness.metrics.row import TokenMaximum, TokenMean, TokenQuantile
from harness.metrics.table import METRICS, likelihood
from harness.records.columns import Floats
from harness.samples.documents import Divergence, DocumentPairs, sums_of
from harness.samples.measures import divergence_level, increase_of, likelihood_level, woodruff
from harness.stats import DocumentMean, document_mean
from harness.stats.documents import residual_squares

RATIO = "ratio estimator over documents (linearised variance), Student's t with documents − 1 degrees of freedom"
WOODRUFF = "sample quantile with Woodruff's interval (JASA 47, 1952), the share below it clustered by document"


def explain_increase(documents: DocumentPairs, metric: str, *, alpha: float) -> tuple[str, tuple[Section, ...]]:
    """Method and steps of `max_increase`."""
    level = increase_of(documents, metric, alpha=alpha)
    if likelihood(metric).exponential:
        extra = documents.candidate_nll - documents.baseline_nll
        mean, steps = _ratio(extra, documents.tokens, "candidate's NLL − baseline's, nats", "scored tokens", alpha)
        outer, shape = "e^({x}) − 1", "extra nats per token"
    else:
        mean, steps = _ratio(
            documents.candidate_nll, documents.baseline_nll, "the candidate's NLL, nats", "the baseline's NLL", alpha
        )
        outer, shape = "{x} − 1", "ratio of the two"
    return RATIO, (*steps, _shaped(mean, (level.value, level.lower, level.upper), outer, shape))


def explain_likelihood(documents: DocumentPairs, metric: str, *, alpha: float) -> tuple[str, tuple[Section, ...]]:
    """Method and steps of `min` and `max` on the candidate's own perplexity or bits per byte."""
    level = likelihood_level(documents.candidate_nll, documents, metric, alpha=alpha)
    way = likelihood(metric)
    nll = documents.candidate_nll
    mean, steps = _ratio(nll, documents.weights(way), "the candidate's NLL, nats", way.weights, alpha)
    outer = "e^({x})" if way.exponential else "{x}"
    return RATIO, (*steps, _shaped(mean, (level.value, level.lower, level.upper), outer, "nats per token"))


def explain_divergence(documents: DocumentPairs, metric: str, *, alpha: float) -> tuple[str, tuple[Section, ...]]:
    """Method and steps of `min` and `max` on a divergence."""
    divergence = documents.divergence
    if divergence is None:
        return "", ()
    level = divergence_level(documents, metric, alpha=alpha)
    match METRICS[metric].computed:
        case TokenMaximum():
            seen = counted("max", level.value, f"largest KL of {divergence.values.size:,} scored tokens, nats")
            return "exact: the largest value seen", (Section(title="Counted", steps=(seen,)),)
        case TokenQuantile(probability=probability):
            return WOODRUFF, _quantile(documents, divergence, probability, alpha)
        case TokenMean() as way:
            sums = sums_of(divergence, way)
            mean, steps = _ratio(sums, documents.tokens, way.summed, "scored tokens", alpha, scale=way.scale)
            outer = "√{x}" if way.root else "{x}"
            return RATIO, (*steps, _shaped(mean, (level.value, level.lower, level.upper), outer, "mean per token"))
        case _:
            return "", ()


def _ratio(
    sums: Floats, weights: Floats, says: str, weight: str, alpha: float, *, scale: float | None = None
) -> tuple[DocumentMean, tuple[Section, ...]]:
    """The ratio estimator over documents: counts, ratio, standard error, quantile."""
    mean = document_mean(sums, weights, alpha=alpha, scale=scale)
    total, weighed, groups = float(sums.sum()), float(weights.sum()), mean.documents
    steps = [
        counted("G", groups, "documents"),
        counted("Σx", total, f"sum over documents of x: {says}"),
        counted("Σw", weighed, f"sum over documents of w: {weight}"),
        step("r", "ratio", "{sum_x} / {sum_w}", mean.mean, sum_x=total, sum_w=weighed),
    ]
    counts = Section(title="Counted", steps=tuple(steps))
    if groups == 1:
        return mean, (counts,)
    if mean.se > 0 or scale is None:
        squares = residual_squares(sums, weights, mean.mean)
        spread = [
            counted("Σe²", squares, "sum over documents of (x − r · w)²"),
            step("SE", "standard error of r", "√({G} / ({G} − 1) · {sum_e2}) / {sum_w}", mean.se, G=groups,
                 sum_e2=squares, sum_w=weighed),
            _t(mean, alpha),
            step("h", "half-width", "{t} · {SE}", mean.upper - mean.mean, t=mean.quantile, SE=mean.se),
        ]  # fmt: skip
    else:
        spread = [
            _t(mean, alpha),
            step("h", "half-width: all documents agree, and that is no certainty",
                 "{scale} · {t}² / ({G} + {t}²)", mean.upper - mean.mean, scale=scale, t=mean.quantile, G=groups),
        ]  # fmt: skip
    return mean, (counts, Section(title="Standard error", steps=tuple(spread)))


def _t(mean: DocumentMean, alpha: float) -> Step:
    return step("t", "Student's t quantile with G − 1 degrees of freedom", "t⁻¹(1 − {alpha}; {G} − 1)", mean.quantile,
                alpha=alpha, G=mean.documents)  # fmt: skip


def _shaped(mean: DocumentMean, values: tuple[float, float | None, float | None], outer: str, says: str) -> Section:
    """The ratio and its bounds in the gate's terms."""
    half = mean.upper - mean.mean
    value, lower, upper = (math.inf if each is None else each for each in values)
    steps = [step("value", f"{says}, in the gate's terms", outer.replace("{x}", "{r}"), value, r=mean.mean)]
    if math.isfinite(half):
        low, high = (outer.replace("{x}", inner) for inner in ("{r} − {h}", "{r} + {h}"))
        if outer == "√{x}":
            low, high = "√(max(0, {r} − {h}))", "√({r} + {h})"
        if outer == "{x} − 1":
            low, high = "{r} − {h} − 1", "{r} + {h} − 1"
        steps += [
            step("L", "lower bound", low, lower, r=mean.mean, h=half),
            step("U", "upper bound", high, upper, r=mean.mean, h=half),
        ]
    return Section(title="Bounds", steps=tuple(steps))


def _quantile(
    documents: DocumentPairs, divergence: Divergence, probability: float, alpha: float
) -> tuple[Section, ...]:
    level, below = woodruff(documents, divergence, probability, alpha=alpha)
    values, weighed = divergence.values, float(documents.tokens.sum())
    steps = [
        counted("N", values.size, "scored tokens, each with its KL in nats"),
        counted("G", below.documents, "documents"),
        counted("p", probability, "of the quantile"),
        counted("x_p", level.value, "the p-quantile of all N values, between the two nearest by straight line"),
        step("F", "share of tokens up to x_p", "{at_most} / {sum_w}", below.mean,
             at_most=float((values <= level.value).sum()), sum_w=weighed),
    ]  # fmt: skip
    counts = Section(title="Counted", steps=tuple(steps))
    if math.isinf(below.se):
        return (counts,)
    low, high = (float(np.clip(share, 0.0, 1.0)) for share in (below.lower, below.upper))
    bounds = (
        counted("SE", below.se, "standard error of F over documents, as √(G / (G − 1) · Σ(below − F · tokens)²) / N"),
        _t(below, alpha),
        step("F_L", "not under 0", "max(0, {F} − {t} · {SE})", low, F=below.mean, t=below.quantile, SE=below.se),
        step("F_U", "not over 1", "min(1, {F} + {t} · {SE})", high, F=below.mean, t=below.quantile, SE=below.se),
        counted("L", math.inf if level.lower is None else level.lower, "the F_L-quantile of the N values, at most x_p"),
        counted(
            "U", math.inf if level.upper is None else level.upper, "the F_U-quantile of the N values, x_p at least"
        ),
    )
    return counts, Section(title="Bounds", steps=bounds)
