"""Early FAIL: the bet against a limit over the first blocks of a task, while it runs and again from its records.

The items of a task are asked in one seeded, shuffled order (`harness.planning.batching`), so those asked up to the
end of a block are a fair sample, and the betting test of `harness.stats.betting` may be looked at there. It only ever
FAILs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.metrics.table import lookup
from harness.records.columns import Floats, PlanColumns
from harness.records.run_manifest import EarlyStop
from harness.samples.pairs import PairedMetric, Side, pair_items, paired_metric
from harness.stats import BettingTest, cluster_values
from harness.suite.gate_model import Gate


@dataclass(frozen=True, kw_only=True)
class Part:
    """A task that was stopped: what of it is there."""

    stop: EarlyStop
    largest: int
    """Items of the plan's largest cluster, 1 where there is none."""


def can_stop(gate: Gate) -> bool:
    """Whether a variant can be stopped by this gate, or judged by it where it was stopped.

    A drop of a whole task from the baseline, of a metric that lies between 0 and 1. Perplexity has no such bounds:
    nothing can be bet on it without an assumption about documents not yet seen.
    """
    metric = lookup(gate.metric)
    return (
        gate.row.stops_early
        and gate.slice is None
        and gate.on == "candidate"
        and metric is not None
        and metric.kind in ("binary", "graded")
        and metric.unit == "fraction"
    )


def chances(gates: Iterable[Gate], variant: str) -> int:
    """How many gates can stop the variant: each is a chance to FAIL, so alpha is shared among them (Bonferroni)."""
    return sum(
        can_stop(gate)
        and gate.severity == "block"
        and gate.against == "baseline"
        and (not gate.variants or variant in gate.variants)
        for gate in gates
    )


def largest_cluster(plan: PlanColumns) -> int:
    """Items of the largest cluster among those that can be asked; 1 where none is named."""
    named = plan.clusters[plan.fits & (plan.clusters >= 0)]
    return int(np.bincount(named).max()) if named.size else 1


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
    units = units_of(metric, largest=largest)
    if units is None:
        return None
    test = BettingTest(margin=limit, alpha=alpha)
    test.take(units.values, weights=units.weights)
    return test.wealth


def asked_so_far(
    task: str, metric: str, plan: PlanColumns, baseline: Side, candidate: Side, *, higher_is_better: bool
) -> PairedMetric:
    """The pairs of the items that the candidate was asked. Raises `PairingError`."""
    pairs = pair_items(task, plan, baseline, candidate, names=("the baseline", "the candidate"))
    return paired_metric(task, metric, pairs, higher_is_better=higher_is_better)
