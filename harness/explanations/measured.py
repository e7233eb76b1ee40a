"""Speed and memory with their numbers put in: Hodges-Lehmann with signed-rank bounds, exact ratios."""

from __future__ import annotations

import math

import numpy as np

from harness.explanations.shapes import Section, Table, counted, step
from harness.records.columns import Floats
from harness.records.findings import Finding
from harness.records.timings import SpeedRecord
from harness.samples.sample import memory_figure
from harness.samples.timed_pairs import SpeedPairs
from harness.stats import speed_ratio
from harness.stats.speed import walsh_averages

HODGES = (
    "Hodges–Lehmann estimate (1963) on logarithms, bounds from the exact null distribution of Wilcoxon's signed rank"
)


def explain_speed(pairs: SpeedPairs, *, on_ratio: bool, alpha: float) -> tuple[str, tuple[Section, ...]]:
    """Method and steps of a speed gate."""
    values = pairs.ratios if on_ratio else pairs.candidate
    found, walsh = speed_ratio(values, alpha=alpha), walsh_averages(values)
    n, count, cut = found.pairs, walsh.size, found.cut
    estimate = float(np.median(walsh))
    what = "ratio candidate / baseline of each pair" if on_ratio else "the candidate's value of each pair"
    steps = (
        counted("n", n, f"timed pairs; x: {what}"),
        step("N", "Walsh averages: (ln x_i + ln x_j) / 2 for i ≤ j, sorted", "{n} · ({n} + 1) / 2", count, n=n),
        counted("w", estimate, "median of the N averages"),
        step("value", "estimate", "e^{w}", found.ratio, w=estimate),
        counted("k", cut, f"the largest k with P(W⁺ ≤ k − 1) ≤ {alpha:g} for n pairs, W⁺ Wilcoxon's signed rank"),
    )
    sections = [Section(title="Counted", steps=steps)]
    if cut >= 1:
        low, high = float(walsh[cut - 1]), float(walsh[-cut])
        bounds = (
            counted("w_L", low, f"k-th smallest average: {_from(values, low)}"),
            counted("w_U", high, f"k-th largest average: {_from(values, high)}"),
            step("L", "lower bound", "e^{w_L}", found.lower, w_L=low),
            step("U", "upper bound", "e^{w_U}", found.upper, w_U=high),
        )
        sections.append(Section(title="Bounds", steps=bounds))
    return HODGES, tuple(sections)


def _from(values: Floats, average: float) -> str:
    """The two pairs whose logarithms average so, counted from 1."""
    logs = np.log(values)
    rows, columns = np.triu_indices(logs.size)
    place = int(np.argmin(np.abs((logs[rows] + logs[columns]) / 2 - average)))
    first, second = int(rows[place]) + 1, int(columns[place]) + 1
    return f"of pair {first} with itself" if first == second else f"of pairs {first} and {second}"


def pairs_table(pairs: SpeedPairs, record: SpeedRecord) -> Table:
    """Each timed pair with its ratio."""
    orders = next(
        (tuple(pair.order for pair in each.pairs) for each in record.workloads if each.name == pairs.workload), ()
    )
    rows = tuple(
        (number, order, float(left), float(right), float(right / left), math.log(right / left))
        for number, (order, left, right) in enumerate(
            zip(orders, pairs.baseline, pairs.candidate, strict=True), start=1
        )
    )
    columns = ("pair", "order", f"{record.baseline}", f"{record.variant}", "ratio", "ln ratio")
    title = f"Timed pairs of {pairs.workload}, {pairs.metric} (A is the baseline)"
    return Table(title=title, columns=columns, rows=rows, total=len(rows))


def explain_memory(record: SpeedRecord, finding: Finding) -> tuple[str, tuple[Section, ...]]:
    """Steps of a memory gate."""
    candidate = memory_figure(record.memory, finding.metric)
    baseline = memory_figure(record.baseline_memory, finding.metric)
    if candidate is None:
        return "exact", ()
    steps = [counted("C", candidate, f"bytes, {record.variant}")]
    if finding.form in ("min_ratio", "max_ratio") and baseline:
        steps += [
            counted("B", baseline, f"bytes, {record.baseline}"),
            step("value", "ratio", "{C} / {B}", candidate / baseline, C=candidate, B=baseline),
        ]
    return "exact: read from one fresh process each", (Section(title="Counted", steps=tuple(steps)),)
