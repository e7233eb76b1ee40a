"""A level of its own: Wilson's bounds of a share of right answers, t bounds of a graded mean."""

from __future__ import annotations

import math

from harness.derivations.gaffke import few_changed
from harness.derivations.shapes import Derivation, Sheet
from harness.records.columns import Floats
from harness.stats import MeanLevel

WILSON = "Wilson's score bounds (1927) for a share"
T = "t bounds of a mean"
_ROOT = "{z} · √({p} · (1 − {p}) / {n′} + {z}² / (4 · {n′}²))"
_OVER = "({p} + {z}² / (2 · {n′}) % " + _ROOT + ") / (1 + {z}² / {n′})"


def level_of_items(values: Floats, found: MeanLevel, *, alpha: float) -> Derivation:
    """The mean of one model's values and its bounds."""
    clustered, score = found.clusters is not None, math.isfinite(found.effective)
    units, word = (found.clusters, "clusters") if found.clusters is not None else (found.n, "items")
    sheet = Sheet("Counted", alpha=alpha, units=units)
    sheet.counted("n", found.n, "items")
    if clustered:
        sheet.counted("G", units, "clusters")
    sheet.counted("Σx", float(values.sum()), "sum of the values")
    sheet.step("p", "level", "{Σx} / {n}", found.mean)
    if math.isinf(found.quantile):
        return sheet.derivation("one item or cluster has no interval")
    sheet.section("Bounds")
    if (score and not clustered) or (found.variance == 0 and not score):
        sheet.normal(found.quantile, "z")
    else:
        says = "Student's t quantile, one degree less than items or clusters"
        sheet.step("z", says, "t⁻¹(1 − {alpha}; {units} − 1)", found.quantile)
    own = found.own or (found.lower, found.upper)
    if score:
        method = WILSON + (", n divided by the design effect" if clustered else "")
        _wilson(sheet, found, own)
    else:
        method = T + (", cluster-robust" if clustered else "")
        _mean(sheet, found, own)
    return sheet.derivation(method + few_changed(sheet, found.unseen, own, (found.lower, found.upper), word=word))


def _wilson(sheet: Sheet, found: MeanLevel, own: tuple[float, float]) -> None:
    if found.clusters is None:
        sheet.counted("n′", found.effective, "effective items: all of them")
    elif found.variance > 0:
        says = "cluster-robust variance of p: G / (G − 1) · Σ(sum of deviations)² / n²"
        sheet.counted("V", found.variance, says)
        sheet.step("n′", "effective items", "{n} / max(1, {V} / ({p} · (1 − {p}) / {n}))", found.effective)
    else:
        sheet.counted("n′", found.effective, "effective items: nothing varies, so each cluster counts once")
    sheet.step("L", "lower bound, at least 0", _OVER.replace("%", "−"), own[0])
    sheet.step("U", "upper bound, at most 1", _OVER.replace("%", "+"), own[1])


def _mean(sheet: Sheet, found: MeanLevel, own: tuple[float, float]) -> None:
    half = own[1] - found.mean
    if found.variance > 0:
        sheet.counted("V", found.variance, "variance of the mean over items or clusters")
        sheet.step("h", "half-width", "{z} · √{V}", half)
    else:
        says = "half-width: nothing varies, and that is no certainty"
        sheet.step("h", says, "max(1, |{p}|) · {z}² / ({units} + {z}²)", half)
    sheet.around("{p}", own)
