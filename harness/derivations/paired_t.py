"""The paired t of a drop of graded items, also over clusters."""

from __future__ import annotations

import numpy as np

from harness.derivations.gaffke import few_changed
from harness.derivations.shapes import Derivation, Sheet
from harness.derivations.tango import count_failures
from harness.samples.pairs import PairedMetric
from harness.stats import GradedDrop
from harness.stats.clusters import cluster_squares

METHOD = "paired t on the mean difference"


def paired_t(metric: PairedMetric, drop: GradedDrop) -> Derivation:
    """The mean difference, its standard error and its bounds."""
    clustered = drop.clusters is not None
    unit, word = ("G", "clusters") if clustered else ("n", "items")
    method = METHOD + (", cluster-robust" if clustered else "")
    sheet = Sheet("Counted", alpha=drop.alpha)
    sheet.counted("n", drop.n, "pairs: items that both answered")
    if drop.clusters is not None:
        sheet.counted("G", drop.clusters, "clusters")
    count_failures(sheet, metric)
    sheet.counted("Σd", float(metric.drops.sum()), "sum of the differences, positive where the candidate is worse")
    sheet.step("drop", "mean difference", "{Σd} / {n}", drop.drop)
    if (drop.clusters or drop.n) == 1:
        return sheet.derivation(method)
    sheet.section("Bounds")
    half = drop.quantile * drop.se if drop.se > 0 else drop.upper - drop.drop
    if drop.se > 0:
        labels = np.arange(drop.n) if metric.clusters is None else metric.clusters
        squares, error = cluster_squares(metric.drops, labels), f"√({{{unit}}} / ({{{unit}}} − 1) · {{Σs²}}) / {{n}}"
        sheet.counted("Σs²", squares, f"over {word}, the squared sum of (difference − drop)")
        sheet.step("SE", "standard error of the drop", error, drop.se)
        sheet.student(drop.quantile, unit=unit)
        sheet.step("h", "half-width", "{t} · {SE}", half)
    else:
        says, width = (
            "half-width: nothing varies, and that is no certainty",
            f"{{scale}} · {{q}}² / ({{{unit}}} + {{q}}²)",
        )
        sheet.counted("q", drop.quantile, "t quantile, G − 1 degrees" if clustered else "normal quantile")
        sheet.step("h", says, width, half, scale=drop.scale)
    own = drop.drop - half, drop.drop + half
    sheet.around("{drop}", own, mark="" if drop.unseen is None else "₀")
    if drop.se > 0:
        sheet.step("T", "statistic at the limit", "({drop} − {m}) / {SE}", drop.t, m=drop.margin)
    return sheet.derivation(method + few_changed(sheet, drop.unseen, own, (drop.lower, drop.upper), word=word))
