"""A FAIL of a variant that was stopped early: the bet, its wealth after the last items, and what it had to reach."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from harness.explanations.evidence import Evidence, Stopped
from harness.explanations.shapes import Change, Condition, Section, Step, Table, counted, num, step
from harness.explanations.what_if import HALVINGS, written
from harness.forms.sequential import Units, units_of
from harness.records.columns import Indices
from harness.reports import figures
from harness.samples.pairs import PairedMetric
from harness.stats import BettingTest
from harness.stats.betting import BETS, LARGEST, MOST_AT_RISK, SMALLEST

METHOD = (
    "test by betting, which may be looked at after every block (Ville 1939; Waudby-Smith and Ramdas, JRSS B 86, 2024): "
    "each drop D multiplies the wealth of a stake λ by 1 + λ · (D − m); the wealth is the mean over the stakes, and "
    "reaches 1 / α′ with chance at most α′ while the mean drop is at most m"
)


def explain_early(data: Stopped, *, limit: float, alpha: float) -> tuple[str, tuple[Section, ...]]:
    """Method and steps. `alpha`: the gate's own."""
    metric, stop = _asked(data), data.part.stop
    units = _units(data, metric)
    test = _played(units, limit, data.alpha)
    n, drop, gates = metric.count, float(metric.drops.mean()), round(alpha / data.alpha)
    steps = [
        counted("n", n, f"pairs of the items asked, of {stop.planned:,} planned"),
        *_counts(metric, units),
        counted("drop", drop, "mean drop over them; what stopped early overstates it"),
    ]
    bet = (
        counted("m", limit, "the limit that is bet against"),
        step("α′", f"the gate's alpha, shared among the {gates} that can stop the variant", "{alpha} / {gates}",
             data.alpha, alpha=alpha, gates=gates),
        step("W_q", "wealth that is needed", "1 / {α_}", 1 / data.alpha, α_=data.alpha),
        counted("s", BETS, f"stakes, j = 1 … s: λ_j = min({SMALLEST:g} · {LARGEST / SMALLEST:g}^((j − 1) / (s − 1)), "
                f"{MOST_AT_RISK:g} / (1 + m)); the table of stakes has them"),
    )  # fmt: skip
    sections = [Section(title="Counted", steps=tuple(steps)), Section(title="The bet", steps=bet)]
    best = int(test.wealths.argmax())
    if metric.kind == "binary" and metric.whole and metric.clusters is None:
        sections.append(Section(title="The stake that won most", steps=_one_stake(metric, test, best, limit)))
    before = _played(Units(values=units.values[:-1], weights=units.weights[:-1]), limit, data.alpha)
    total = float(test.wealths.sum())
    last = (
        counted("W_before", before.wealth, "wealth before the last of them in the order asked"),
        counted("ΣW_j", total, "sum over the stakes of their wealth, in the table"),
        step("W", "wealth: the mean over the stakes", "{sum_W} / {s}", test.wealth, sum_W=total, s=BETS),
        step("f", "by which the last one multiplied it", "{W} / {W_before}", test.wealth / before.wealth, W=test.wealth,
             W_before=before.wealth),
    )  # fmt: skip
    return METHOD, (*sections, Section(title="Wealth", steps=last))


def early_conditions(data: Stopped, *, limit: float) -> tuple[Condition, ...]:
    """FAIL, the one thing this test can say."""
    wealth = _played(_units(data, data.metric), limit, data.alpha).wealth
    numbers = f"{num(wealth)} ≥ {num(1 / data.alpha)}"
    return (Condition(gives="FAIL", rule="FAIL if W ≥ W_q", numbers=numbers, holds=wealth >= 1 / data.alpha),)


def early_tables(data: Stopped, *, limit: float, most: int) -> tuple[Table, ...]:
    """Every stake, and the last items (clusters) in the order asked with the wealth after each."""
    metric = _asked(data)
    units = _units(data, metric)
    test = _played(units, limit, data.alpha)
    stakes = Table(
        title="Stakes: what a drop D of 1, 0 and −1 multiplies the wealth by",
        columns=("stake", "λ", "D = 1", "D = 0", "D = −1", "wealth"),
        rows=tuple(
            (number, float(stake), 1 + stake * (1 - limit), 1 - stake * limit, 1 - stake * (1 + limit), float(wealth))
            for number, (stake, wealth) in enumerate(zip(test.stakes.tolist(), test.wealths, strict=True), start=1)
        ),
        total=BETS,
    )
    path = BettingTest(margin=limit, alpha=data.alpha).take(units.values, weights=units.weights)
    names, shown = _names(data, metric), min(most, path.size)
    clustered = metric.clusters is not None
    last = Table(
        title=f"The last {'clusters' if clustered else 'items'} asked, newest first",
        columns=("place", "first item" if clustered else "item", "D", *(("weight",) if clustered else ()), "wealth"),
        rows=tuple(
            (place + 1, names[place], float(units.values[place]),
             *((float(units.weights[place]),) if clustered else ()), float(path[place]))
            for place in range(path.size - 1, path.size - 1 - shown, -1)
        ),
        total=path.size,
    )  # fmt: skip
    return stakes, last


def early_changes(evidence: Evidence, data: Stopped) -> tuple[Change, ...]:
    """The loosest limit and the smallest alpha at which these items FAIL, and how a PASS is had."""
    finding = evidence.finding

    def fails(limit: float, alpha: float) -> bool:
        return evidence.judge(limit, alpha).decision == "FAIL"

    found = []
    low, high = finding.limit, max(finding.limit, min(0.999, float(data.metric.drops.mean())))
    if fails(low, finding.alpha) and not fails(high, finding.alpha):
        for _ in range(2 * HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if fails(middle, finding.alpha) else (low, middle)
        limit = written(evidence, low, up=False, gives="FAIL")
        if limit is not None:
            said = figures.in_form(limit, finding.form, finding.unit)
            says = f"largest limit at which these items would FAIL: {said} (max_drop: {limit:.15g})"
            found.append(Change(of="limit", gives="FAIL", value=limit, says=says))
    wealth = _played(_units(data, data.metric), finding.limit, data.alpha).wealth
    least = 1 / wealth * finding.alpha / data.alpha
    says = f"FAIL holds down to an alpha of {least:.4g} of the gate (it is {finding.alpha:g})"
    found.append(Change(of="alpha", gives="FAIL", value=least, says=says))
    says = "PASS is given by whole tasks only: run again without --stop-early"
    return *found, Change(of="items", gives=None, value=None, says=says)


def _asked(data: Stopped) -> PairedMetric:
    """The pairs in the order in which the candidate was asked."""
    order, metric = _order(data), data.metric
    return replace(
        metric,
        baseline=metric.baseline[order],
        candidate=metric.candidate[order],
        clusters=None if metric.clusters is None else metric.clusters[order],
        failing=metric.failing[order],
        slices={},
        guess=None,
        baseline_given=None,
        candidate_given=None,
    )


def _order(data: Stopped) -> Indices:
    answers = data.pairs.candidate
    order: Indices = np.lexsort((answers.places, answers.chunks))
    return order


def _units(data: Stopped, metric: PairedMetric) -> Units:
    units = units_of(metric, largest=data.part.largest)
    assert units is not None  # it FAILed, so there was something to bet on
    return units


def _names(data: Stopped, metric: PairedMetric) -> list[str]:
    """Item of each unit; of a cluster the first one asked."""
    order = _order(data)
    if metric.clusters is None:
        return [data.pairs.name(int(place)) for place in order]
    _, first = np.unique(metric.clusters, return_index=True)
    return [data.pairs.name(int(order[place])) for place in np.sort(first)]


def _played(units: Units, limit: float, alpha: float) -> BettingTest:
    test = BettingTest(margin=limit, alpha=alpha)
    test.take(units.values, weights=units.weights)
    return test


def _counts(metric: PairedMetric, units: Units) -> tuple[Step, ...]:
    found: list[Step] = []
    if metric.kind == "binary":
        found += [
            counted("b", metric.worse, "pairs that went from right to wrong"),
            counted("c", metric.better, "pairs that went from wrong to right"),
        ]
    if metric.failed:
        found.append(counted("failed", metric.failed, "of the candidate's answers failed and count as wrong"))
    if metric.clusters is not None:
        says = "clusters among them: D is a cluster's mean drop, its weight (size over the plan's largest) scales λ"
        found.append(counted("G", units.values.size, says))
    return tuple(found)


def _one_stake(metric: PairedMetric, test: BettingTest, place: int, limit: float) -> tuple[Step, ...]:
    """The wealth of one stake from the counts; the others come out in the same way."""
    b, c = int((metric.drops > 0).sum()), int((metric.drops < 0).sum())
    stake, wealth = float(test.stakes[place]), float(test.wealths[place])
    share = place / (BETS - 1)
    assert math.isfinite(wealth)
    return (
        step("λ", f"stake {place + 1}",
             f"min({SMALLEST:g} · {LARGEST / SMALLEST:g}^({{share}}), {MOST_AT_RISK:g} / (1 + {{m}}))", stake,
             share=share, m=limit),
        step("W_j", "its wealth",
             "(1 + {λ} · (1 − {m}))^{b} · (1 − {λ} · (1 + {m}))^{c} · (1 − {λ} · {m})^({n} − {b} − {c})", wealth,
             λ=stake, m=limit, b=b, c=c, n=metric.count),
    )  # fmt: skip
