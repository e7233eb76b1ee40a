"""Fieller's theorem: the share kept of a mean, and of what fine-tuning gained."""

from __future__ import annotations

import math

from harness.derivations.gaffke import as_worst_seen, few_changed
from harness.derivations.shapes import Derivation, Sheet
from harness.metrics.table import likelihood
from harness.samples.base_pairs import ThreeWay
from harness.samples.pairs import PairedMetric
from harness.stats import Recovery, RetainedShare
from harness.stats.share_tests import FiellerTest

METHOD = "Fieller's theorem (1954) for the ratio of two paired means"
SET = "Fieller's set (1954): the shares r at which a test of the mean of kept − r · gain does not reject"
T = "; Student's t"
_JACKKNIFE = "(G − 1) / G · Σ(e / (1 − w / Σw))² / Σw² with e = {} over units"


def share_of_mean(metric: PairedMetric, found: Recovery, *, alpha: float) -> Derivation:
    """Candidate over baseline, of graded items."""
    clustered = found.clusters is not None
    unit, word = ("G", "clusters") if clustered else ("n", "items")
    method = METHOD + (", cluster-robust" if clustered else "")
    sheet = Sheet("Counted", alpha=alpha)
    sheet.counted("n", metric.count, "pairs")
    if found.clusters is not None:
        sheet.counted("G", found.clusters, "clusters")
    sheet.counted("Σb", float(metric.baseline.sum()), "sum of the baseline's values")
    sheet.counted("Σc", float(metric.candidate.sum()), "sum of the candidate's values")
    sheet.step("B", "the baseline's mean", "{Σb} / {n}", float(metric.baseline.mean()))
    sheet.step("C", "the candidate's mean", "{Σc} / {n}", float(metric.candidate.mean()))
    sheet.step("R", "share kept", "{C} / {B}", found.ratio)
    if not isinstance(found.test, FiellerTest):
        return sheet.derivation(method)
    sheet.section("Bounds")
    lower, upper = found.own
    variances = (
        f"jackknife variance of B: ({unit} − 1) / {unit} · Σ(e / (1 − w / n))² / n² with e the sum of deviations and w "
        f"the items of {'a cluster' if clustered else 'an item'}",
        "variance of C, in the same way",
        "their covariance",
    )
    low, high = _roots(sheet, found.test, alpha, ("B", "C", "k"), variances, unit=unit)
    if math.isfinite(upper):
        says, formula = ("lower bound", low) if found.signed else ("lower bound, at least 0", f"max(0, {low})")
        sheet.step("L", says, formula, lower)
        sheet.step("U", "upper bound", high, upper)
    else:
        sheet.counted("U", upper, "f is not above 0: nothing bounds the share kept")
    own, unseen = found.own, found.unseen
    without = own if unseen is None else (min(own[0], unseen[0]), max(own[1], unseen[1]))
    few = few_changed(sheet, unseen, own, without, word=word)
    few += as_worst_seen(sheet, found.worst_seen, without, (found.lower, found.upper), word=word)
    return sheet.derivation(method + few)


def share_of_gain(three_way: ThreeWay, found: RetainedShare, test: FiellerTest, *, alpha: float) -> Derivation:
    """Kept over gained, of graded items or documents."""
    documents, clustered = three_way.weights is not None, found.clusters is not None
    what = ("NLL of the base − the fine-tuned model's, nats", "NLL of the base − the candidate's, nats")
    if not documents:
        what = "fine-tuned − base", "candidate − base"
    weights = likelihood(three_way.metric).weights if documents else "items"
    units = "documents" if documents else "clusters" if clustered else "items that all three answered"
    (m, k), own = test.means, found.own or (0.0, 0.0)
    sheet = Sheet("Counted", alpha=alpha)
    sheet.counted("G", test.units, units)
    sheet.counted("Σx", float(test.gain.sum()), f"sum of the gains x: {what[0]}")
    sheet.counted("Σy", float(test.kept.sum()), f"sum of what is kept, y: {what[1]}")
    sheet.counted("Σw", float(test.weights.sum()), f"sum of the weights w: {weights}")
    sheet.step("M", "gain per unit of weight", "{Σx} / {Σw}", m)
    sheet.step("K", "kept per unit of weight", "{Σy} / {Σw}", k)
    sheet.step("R", "share kept", "{K} / {M}", found.share or 0.0)
    gain_bounds(sheet, found)
    sheet.section("Bounds")
    variances = (
        f"jackknife variance of M: {_JACKKNIFE.format('x − M · w')}",
        f"jackknife variance of K: {_JACKKNIFE.format('y − K · w')}",
        "their covariance: one e of each",
    )
    above = "above 0, or the gain itself is not shown"
    low, high = _roots(sheet, test, alpha, ("M", "K", "h"), variances, above=above)
    mark = "" if found.unseen is None else "₀"
    sheet.step(f"L{mark}", "lower bound", low, own[0])
    sheet.step(f"U{mark}", "upper bound", high, own[1])
    method = SET + T + (", cluster-robust" if clustered else "") + (", over documents" if documents else "")
    return sheet.derivation(method + few_of_gain(sheet, found))


def gain_bounds(sheet: Sheet, found: RetainedShare) -> None:
    """Whether there is a gain to keep."""
    how = "as of a mean" if found.loss is None else "as of a drop, the other way round"
    sheet.counted("M_L", found.gain_lower, f"lower bound of the gain, {how}; above 0, or no share is defined")
    sheet.counted("M_U", found.gain_upper, "upper bound of the gain")


def few_of_gain(sheet: Sheet, found: RetainedShare) -> str:
    """`few_changed` of a share of the gain."""
    word = "items" if found.clusters is None else "clusters"
    bounds = found.lower or 0.0, found.upper or 0.0
    return few_changed(sheet, found.unseen, found.own or (0.0, 0.0), bounds, word=word)


def _roots(
    sheet: Sheet,
    test: FiellerTest,
    alpha: float,
    symbols: tuple[str, str, str],
    variances: tuple[str, str, str],
    *,
    unit: str = "G",
    above: str = "",
) -> tuple[str, str]:
    """The quadratic whose roots are the bounds; gives the formulas of both roots. `symbols`: of the whole, of what is
    kept, and of the last coefficient."""
    (whole, kept, last), terms = symbols, test.terms(alpha)
    of_whole, of_kept, of_both = (f"V_{pair.lower()}" for pair in (whole * 2, kept * 2, whole + kept))
    sheet.counted(of_whole, terms.vbb, variances[0])
    sheet.counted(of_kept, terms.vcc, variances[1])
    sheet.counted(of_both, terms.vbc, variances[2])
    sheet.student(test.quantile(alpha), unit=unit)
    sheet.step("f", above, f"{{{whole}}}² − {{t}}² · {{{of_whole}}}", terms.a)
    sheet.step("g", "", f"{{{whole}}} · {{{kept}}} − {{t}}² · {{{of_both}}}", terms.half_b)
    sheet.step(last, "", f"{{{kept}}}² − {{t}}² · {{{of_kept}}}", terms.c)
    root = f"√(max(0, {{g}}² − {{f}} · {{{last}}}))"
    return f"({{g}} − {root}) / {{f}}", f"({{g}} + {root}) / {{f}}"
