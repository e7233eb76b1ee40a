"""A quantile over tokens, of KL or of Δp, with Woodruff's interval; the largest KL, which is exact."""

from __future__ import annotations

import math

import numpy as np

from harness.derivations.shapes import Derivation, Sheet
from harness.metrics.row import VALUE_WORDS, TokenQuantile
from harness.samples.documents import Divergence, DocumentPairs
from harness.samples.measures import woodruff
from harness.stats import DocumentMean

METHOD = "sample quantile with Woodruff's interval (JASA 47, 1952), the share below it clustered by document"


def largest(divergence: Divergence) -> Derivation:
    """The largest KL seen."""
    sheet, values = Sheet("Counted"), divergence.values
    sheet.counted("max", float(values.max()), f"largest KL of {values.size:,} scored tokens, nats")
    return sheet.derivation("exact: the largest value seen")


def quantile(documents: DocumentPairs, divergence: Divergence, way: TokenQuantile, *, alpha: float) -> Derivation:
    """The share of tokens up to the quantile, its bounds, and the quantiles there."""
    level, below = woodruff(documents, divergence, way, alpha=alpha)
    values, sheet = divergence.of(way.of), Sheet("Counted", alpha=alpha, Σw=float(documents.tokens.sum()))
    up_to = float((values <= level.value).sum())
    sheet.counted("N", values.size, f"scored tokens, each with its {VALUE_WORDS[way.of]}")
    sheet.counted("G", below.documents, "documents")
    sheet.counted("p", way.probability, "of the quantile")
    sheet.counted("x_p", level.value, "the p-quantile of all N values, between the two nearest by straight line")
    sheet.step("F", "share of tokens up to x_p", "{at_most} / {Σw}", below.mean, at_most=up_to)
    if math.isfinite(below.se):
        _bounds(sheet, below, (level.lower, level.upper))
    return sheet.derivation(METHOD)


def _bounds(sheet: Sheet, below: DocumentMean, bounds: tuple[float | None, float | None]) -> None:
    low, high = (float(np.clip(share, 0.0, 1.0)) for share in (below.lower, below.upper))
    lower, upper = (math.inf if each is None else each for each in bounds)
    says = "standard error of F over documents, as √(G / (G − 1) · Σ(below − F · tokens)²) / N"
    sheet.section("Bounds")
    sheet.counted("SE", below.se, says)
    sheet.student(below.quantile)
    sheet.step("F_L", "not under 0", "max(0, {F} − {t} · {SE})", low)
    sheet.step("F_U", "not over 1", "min(1, {F} + {t} · {SE})", high)
    sheet.counted("L", lower, "the F_L-quantile of the N values, at most x_p")
    sheet.counted("U", upper, "the F_U-quantile of the N values, x_p at least")
