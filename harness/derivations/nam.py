"""The share of the baseline's score that right-or-wrong items keep: Nam and Blackwelder's score test."""

from __future__ import annotations

import math

from harness.derivations.gaffke import few_changed
from harness.derivations.shapes import Derivation, Sheet
from harness.derivations.tango import count_flips
from harness.samples.pairs import PairedMetric
from harness.stats import Recovery
from harness.stats.clusters import cluster_variance, independent_variance
from harness.stats.share_tests import RatioTest

METHOD = "score test for the ratio of two paired proportions (Nam and Blackwelder, Statistics in Medicine 21, 2002)"
CLUSTERED = "; n divided by the design effect, Student's t over clusters"
_P01 = (
    "(−{p_cand} + {r}² · ({p_base} + 2 · {c} / {n}) + √(({p_cand} − {r}² · {p_base})² + 4 · {r}² · {b} / {n} · {c} / "
    "{n})) / (2 · {r} · ({r} + 1))"
)
_P10 = (
    "(−{p_base} + ({p_cand} + 2 · {b} / {n}) / {r}² + √(({p_base} − {p_cand} / {r}²)² + 4 / {r}² · {b} / {n} · {c} / "
    "{n})) / (2 / {r} · (1 / {r} + 1))"
)


def share_of_right(metric: PairedMetric, found: Recovery, *, limit: float, alpha: float) -> Derivation:
    """The statistic at the limit, a share kept, and at both bounds."""
    n, both, b, c, test = metric.count, metric.both, metric.worse, metric.better, found.test
    method = METHOD + ("" if found.clusters is None else CLUSTERED)
    sheet = Sheet("Counted", alpha=alpha)
    sheet.counted("n", n, "pairs")
    sheet.counted("n₁₁", both, "pairs right before and after")
    count_flips(sheet, b, c)
    sheet.step("p_base", "the baseline's share", "({n₁₁} + {b}) / {n}", (both + b) / n)
    sheet.step("p_cand", "the candidate's share", "({n₁₁} + {c}) / {n}", (both + c) / n)
    sheet.step("R", "share kept", "{p_cand} / {p_base}", found.ratio)
    if not isinstance(test, RatioTest):
        return sheet.derivation(method)
    if test.groups is None:
        sheet.normal(test.quantile(alpha))
    else:
        sheet.counted("G", test.groups, "clusters")
        sheet.student(test.quantile(alpha), "t_q")
    for name, r in (("the limit", limit), ("the lower bound", found.own[0]), ("the upper bound", found.own[1])):
        if 0 < r < math.inf:
            sheet.section(f"At r, {name}")
            _statistic(sheet, metric, test, r)
    bounds = found.lower, found.upper
    return sheet.derivation(method + few_changed(sheet, found.unseen, found.own, bounds, word="clusters"))


def _statistic(sheet: Sheet, metric: PairedMetric, test: RatioTest, r: float) -> None:
    """The statistic at one share, over clusters with the effective size."""
    terms, effective, labels = test.terms(r), metric.count / test.deff(r), test.labels
    sheet.counted("r", r, "hypothesised share kept")
    sheet.step("p01", "most likely share of pairs from wrong to right; never under 0", _P01, terms.p01)
    sheet.step("p10", "most likely share of pairs from right to wrong; never under 0", _P10, terms.p10)
    if labels is not None:
        rest, changed = metric.candidate - r * metric.baseline, bool(metric.drops.any())
        least, says = "1" if changed else "{n} / {G}", "cluster-robust variance of the mean of candidate − r · baseline"
        sheet.counted("V_CR", cluster_variance(rest, labels), says)
        sheet.counted("V_iid", independent_variance(rest), "its variance were the items independent")
        says = "effective pairs" + ("" if changed else ": nothing varies, so each cluster counts once")
        sheet.step("n′", says, f"{{n}} / max({least}, {{V_CR}} / {{V_iid}})", effective)
    z = "({p_cand} − {r} · {p_base}) · √{n′} / √({r} · ({p10} + {p01}))"
    sheet.step("z", "the score statistic", z, test.z(r), **{"n′": effective})
