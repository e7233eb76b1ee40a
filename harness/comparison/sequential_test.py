"""Which gates can stop a variant early, and the pairs that they then look at, while it runs and again from its records.

The test itself is `harness.forms.sequential`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.metrics.table import is_derived, lookup
from harness.records.columns import PlanColumns
from harness.records.run_manifest import EarlyStop
from harness.samples.pairs import PairedMetric, Side, pair_items, paired_metric
from harness.suite.gate_model import Gate


@dataclass(frozen=True, kw_only=True)
class Part:
    """The part of a stopped task that was computed."""

    stop: EarlyStop
    largest: int
    """Items of the plan's largest cluster, 1 where there is none."""


def can_stop(gate: Gate) -> bool:
    """Whether a variant can be stopped by this gate, or judged by it where it was stopped.

    A drop of a whole task from the baseline, of a stored metric with values between 0 and 1. Perplexity has no such
    bounds: nothing can be bet on it without an assumption about documents not yet seen.
    """
    metric = lookup(gate.metric)
    return (
        gate.row.stops_early
        and gate.slice is None
        and not gate.weights
        and gate.on == "candidate"
        and metric is not None
        and metric.kind in ("binary", "graded")
        and not is_derived(gate.metric)
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


def asked_so_far(
    task: str, metric: str, plan: PlanColumns, baseline: Side, candidate: Side, *, higher_is_better: bool
) -> PairedMetric:
    """The pairs of the items that the candidate answered. Raises `PairingError`."""
    pairs = pair_items(task, plan, baseline, candidate, names=("the baseline", "the candidate"))
    return paired_metric(task, metric, pairs, higher_is_better=higher_is_better)
