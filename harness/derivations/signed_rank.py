"""Speed from timed pairs: Hodges-Lehmann with signed-rank bounds."""

from __future__ import annotations

import numpy as np

from harness.derivations.shapes import Derivation, Sheet
from harness.records.columns import Floats
from harness.stats import SpeedRatio
from harness.stats.speed import walsh_averages

METHOD = (
    "Hodges–Lehmann estimate (1963) on logarithms, bounds from the exact null distribution of Wilcoxon's signed rank"
)


def signed_rank(values: Floats, found: SpeedRatio, what: str, *, alpha: float) -> Derivation:
    """The median Walsh average of the values' logarithms. `what`: each value, in words."""
    sheet, walsh, cut = Sheet("Counted"), walsh_averages(values), found.cut
    cut_says = f"the largest k with P(W⁺ ≤ k − 1) ≤ {alpha:g} for n pairs, W⁺ Wilcoxon's signed rank"
    count_says = "Walsh averages: (ln x_i + ln x_j) / 2 for i ≤ j, sorted"
    sheet.counted("n", found.pairs, f"timed pairs; x: {what}")
    sheet.step("N", count_says, "{n} · ({n} + 1) / 2", walsh.size)
    sheet.counted("w", float(np.median(walsh)), "median of the N averages")
    sheet.step("value", "estimate", "e^{w}", found.ratio)
    sheet.counted("k", cut, cut_says)
    if cut >= 1:
        low, high = float(walsh[cut - 1]), float(walsh[-cut])
        sheet.section("Bounds")
        sheet.counted("w_L", low, f"k-th smallest average: {_from(values, low)}")
        sheet.counted("w_U", high, f"k-th largest average: {_from(values, high)}")
        sheet.step("L", "lower bound", "e^{w_L}", found.lower)
        sheet.step("U", "upper bound", "e^{w_U}", found.upper)
    return sheet.derivation(METHOD)


def _from(values: Floats, average: float) -> str:
    """The two pairs whose logarithms average so, counted from 1."""
    logs = np.log(values)
    rows, columns = np.triu_indices(logs.size)
    place = int(np.argmin(np.abs((logs[rows] + logs[columns]) / 2 - average)))
    first, second = int(rows[place]) + 1, int(columns[place]) + 1
    return f"of pair {first} with itself" if first == second else f"of pairs {first} and {second}"
