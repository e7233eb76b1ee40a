"""A task at which a variant was stopped early: FAIL where the betting test says so, otherwise not judged. Never PASS.

The items of a task are asked in one seeded, shuffled order, so those asked up to the end of a block are a fair sample,
and the betting test of `harness.stats.betting` may be looked at there. It may be read at any time, so it also holds
for another limit or alpha than the one that stopped the variant (Ville's inequality); fixed-n bounds would not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.forms.base import Estimate, Judgement, Reason, Terms
from harness.notation import duration, points, significant

if TYPE_CHECKING:
    from harness.derivations.shapes import Derivation
    from harness.records.columns import Floats
    from harness.records.run_manifest import EarlyStop
    from harness.samples.pairs import PairedMetric
    from harness.samples.sample import StoppedPart


@dataclass(frozen=True, kw_only=True)
class Units:
    """What is bet on, one after another: items, or whole clusters by first appearance."""

    values: Floats
    """Drop of an item, or mean drop of a cluster's, [units]."""
    weights: Floats
    """Size over the plan's largest cluster, [units]; 1 for items."""


def units_of(metric: PairedMetric, *, largest: int) -> Units | None:
    """None where nothing can be said: no pair, the baseline failed on one, or a value outside 0 to 1. A candidate's
    failed answer counts as wrong."""
    import numpy as np

    from harness.stats import cluster_values

    drops = metric.drops
    if not drops.size or metric.baseline_failed or not (np.abs(drops) <= 1).all():
        return None
    if metric.clusters is None:
        return Units(values=drops, weights=np.ones(drops.size))
    means, weights = cluster_values(drops, metric.clusters, largest=largest)
    return Units(values=means, weights=weights)


def wealth_against(metric: PairedMetric, *, limit: float, alpha: float, largest: int) -> float | None:
    """Wealth after betting, pair by pair or cluster by cluster, that the mean drop is above `limit`.

    The pairs are those of whole blocks; inside them order does not matter. None as `units_of`.
    """
    from harness.stats import BettingTest

    units = units_of(metric, largest=largest)
    if units is None:
        return None
    test = BettingTest(margin=limit, alpha=alpha)
    test.take(units.values, weights=units.weights)
    return test.wealth


def judge_stopped(sample: StoppedPart, terms: Terms) -> Judgement:
    """A drop on the part that was asked, at this gate's share of alpha."""
    stop, alpha = sample.stop, terms.alpha / sample.chances
    wealth = wealth_against(sample.pairs, limit=terms.limit, alpha=alpha, largest=sample.largest)
    if wealth is None or wealth < 1 / alpha:
        return Judgement.none(undecided_at(stop))
    drop = float(sample.pairs.drops.mean())
    measured = (
        f"drop {points(drop)} after {stop.items} of {stop.planned} items: the anytime-valid test rejects a drop "
        f"of at most {points(terms.limit)} (wealth {significant(wealth, 3)}, {significant(1 / alpha, 3)} needed)"
    )
    return Judgement(
        decision="FAIL",
        reason=Reason(measured=measured, notes=(f"stopped early{saved(stop)}",)),
        estimate=Estimate(value=drop, lower=None, upper=None, n=sample.pairs.count, early_alpha=alpha),
    )


def derive_stopped(sample: StoppedPart, terms: Terms) -> Derivation:
    """The pairs in the order asked."""
    from harness.derivations.betting import betting

    units = units_of(sample.pairs, largest=sample.largest)
    assert units is not None  # it FAILed, so there was something to bet on
    return betting(
        sample.pairs, units.values, units.weights, planned=sample.stop.planned, limit=terms.limit, alpha=terms.alpha,
        share=terms.alpha / sample.chances,
    )  # fmt: skip


def stopped_at(stop: EarlyStop) -> str:
    """Where a variant was stopped, and by which gate."""
    return f"stopped early at {stop.task} after {stop.items} of {stop.planned} items by {stop.gate}"


def undecided_at(stop: EarlyStop) -> str:
    """What is said of a gate that the part does not decide."""
    return f"{stopped_at(stop)}; run again without --stop-early"


def saved(stop: EarlyStop) -> str:
    """How much time that saved, where it is known."""
    return "" if stop.saved_s is None else f", about {duration(stop.saved_s)} saved"
