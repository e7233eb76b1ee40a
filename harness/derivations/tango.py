"""Tango's score bound of a drop of right-or-wrong items, also over clusters."""

from __future__ import annotations

import numpy as np

from harness.derivations.gaffke import few_changed
from harness.derivations.shapes import Derivation, Sheet
from harness.records.columns import Floats, Indices
from harness.samples.pairs import PairedMetric
from harness.stats import PairedDrop
from harness.stats.clusters import cluster_squares, cluster_variance, independent_variance
from harness.stats.tango import tango_terms

METHOD = "Tango's score bound for a paired difference (Statistics in Medicine 17, 1998, 891–908)"
CLUSTERED = "; counts divided by the design effect, Student's t over clusters"


def tango(metric: PairedMetric, drop: PairedDrop) -> Derivation:
    """The statistic at the limit and at both bounds."""
    sheet = Sheet("Counted", alpha=drop.alpha)
    sheet.counted("n", drop.n, "pairs: items that both answered")
    count_flips(sheet, drop.right_to_wrong, drop.wrong_to_right)
    count_failures(sheet, metric)
    sheet.step("drop", "the drop seen", "({b} − {c}) / {n}", drop.drop)
    sheet.step("d", "discordance: share of pairs whose outcome changed", "({b} + {c}) / {n}", drop.discordance)
    if drop.clusters is not None:
        _effective_counts(sheet, metric, drop)
    if drop.clusters == 1:
        return sheet.derivation(METHOD + CLUSTERED)
    sheet.section("Quantile")
    if drop.clusters is None:
        sheet.normal(drop.quantile)
    else:
        sheet.student(drop.quantile, "t_q")
    own, unseen = drop.score_bounds, None if drop.unseen is None else drop.unseen.unseen_bounds(drop.alpha)
    mark = "" if unseen is None else "₀"
    places = {"m, the limit": drop.margin, f"U{mark}, the upper bound": own[1], f"L{mark}, the lower bound": own[0]}
    for name, at in places.items():
        sheet.section(f"At D = {name}")
        _statistic(sheet, drop, at)
    few = few_changed(sheet, unseen, own, (drop.lower, drop.upper), word="clusters")
    return sheet.derivation(METHOD + ("" if drop.clusters is None else CLUSTERED) + few)


def count_flips(sheet: Sheet, b: float, c: float) -> None:
    """Flips each way."""
    sheet.counted("b", b, "pairs that went from right to wrong")
    sheet.counted("c", c, "pairs that went from wrong to right")


def count_failures(sheet: Sheet, metric: PairedMetric) -> None:
    """The answers that failed, where there are any."""
    if metric.failed:
        sheet.counted("failed", metric.failed, "of the candidate's answers failed and count as wrong")


def cluster_robust(sheet: Sheet, values: Floats, labels: Indices, *, name: str, of: str) -> None:
    """The cluster-robust variance of the mean called `name`. `of`: what is summed over a cluster. `G` and `n` stand
    above."""
    sheet.counted("Σs²", cluster_squares(values, labels), f"over clusters, the squared sum of ({of})")
    says = f"cluster-robust variance of {name}"
    sheet.step("V_CR", says, "{G} / ({G} − 1) · {Σs²} / {n}²", cluster_variance(values, labels))


def _effective_counts(sheet: Sheet, metric: PairedMetric, drop: PairedDrop) -> None:
    sheet.section("Clusters")
    sheet.counted("G", drop.clusters or 1, "clusters; the record's `cluster`, an item without one is its own")
    if drop.clusters == 1:
        sheet.counted("n′", 1, "one cluster says nothing about another, so nothing is decided")
        return
    values, share = metric.drops, drop.n_effective / drop.n
    if np.ptp(values) > 0:
        cluster_robust(sheet, values, np.asarray(metric.clusters), name="the drop", of="difference − drop")
        alone, says = independent_variance(values), "its variance were the items independent"
        if metric.whole:
            sheet.step("V_iid", says, "({b} + {c} − {n} · {drop}²) / ({n} − 1) / {n}", alone)
        else:
            sheet.counted("V_iid", alone, says)
        sheet.step("deff", "design effect, at least 1", "max(1, {V_CR} / {V_iid})", drop.deff)
        sheet.step("n′", "effective pairs", "{n} / {deff}", drop.n_effective)
    else:
        sheet.step("n′", "effective pairs: nothing varies, so each cluster counts once", "{G}", drop.n_effective)
    sheet.step("b′", "", "{b} · {n′} / {n}", drop.right_to_wrong * share)
    sheet.step("c′", "", "{c} · {n′} / {n}", drop.wrong_to_right * share)


def _statistic(sheet: Sheet, drop: PairedDrop, at: float) -> None:
    """The statistic at a hypothesised drop, with the effective counts."""
    share = drop.n_effective / drop.n
    n = drop.n * share
    found = tango_terms(n, drop.right_to_wrong * share, drop.wrong_to_right * share, at)
    n_, b_, c_ = ("{n}", "{b}", "{c}") if drop.clusters is None else ("{n′}", "{b′}", "{c′}")
    # Of the two equal forms of the root the one that judged: where B is above 0 the other loses its digits.
    root = "(−{B} + √({B}² − 4 · {A} · {C})) / (2 · {A})"
    if found.linear > 0:
        root = "−2 · {C} / ({B} + √({B}² − 4 · {A} · {C}))"
    sheet.counted("D", at, "hypothesised drop")
    sheet.step("A", "", f"2 · {n_}", 2 * n)
    sheet.step("B", "", f"{{D}} · (2 · {n_} − {b_} + {c_}) − ({b_} + {c_})", found.linear)
    sheet.step("C", "", f"−{c_} · {{D}} · (1 − {{D}})", found.constant)
    sheet.step("q", "most likely share of pairs from wrong to right, were the drop D; never under 0", root, found.q)
    z = f"({b_} − {c_} − {n_} · {{D}}) / √({n_} · (2 · {{q}} + {{D}} · (1 − {{D}})))"
    sheet.step("z", "the score statistic", z, found.z)
