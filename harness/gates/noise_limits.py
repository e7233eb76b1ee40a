"""Limits that the run measures itself: `max_drop: noise`, what one run of the baseline loses against another by chance.

Owns how the loss is measured (the baseline's several sampled answers to each item, or its second pass of greedy ones),
that it never exceeds the gate's cap, and when there is none: a limit of nothing, or of a noise that nobody measured,
would be a number out of the air.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from harness.comparison.candidates import Comparison
from harness.forms.base import Judgement
from harness.notation import count, points
from harness.samples.pairs import PairedMetric
from harness.stats.rerun import rerun_loss
from harness.suite.gate_model import Gate


@dataclass(frozen=True, kw_only=True)
class NoiseLimit:
    """What became of a measured limit."""

    limit: float
    """The noise, or the cap where that is less or the noise is not known."""
    says: str
    known: bool

    def applied(self, judgement: Judgement) -> Judgement:
        """With what the limit is. Where the noise is not known, only a loss beyond the cap is judged."""
        reason = judgement.reason.noting(self.says)
        if self.known or judgement.decision in ("FAIL", "INVALID"):
            return replace(judgement, reason=reason)
        return replace(judgement, decision="INCONCLUSIVE", reason=replace(reason, ending=""), more_items=None)


def noise_limits(gates: tuple[Gate, ...], comparison: Comparison) -> Mapping[int, NoiseLimit]:
    """Position to the limit, of the gates whose limit is the noise."""
    return {place: _limit(gate, comparison) for place, gate in enumerate(gates) if gate.measures_limit}


def _limit(gate: Gate, comparison: Comparison) -> NoiseLimit:
    cap, place = gate.limit, (gate.task or "", gate.metric)
    metric = comparison.baseline.metrics.get(place)
    again = None if comparison.noise is None else comparison.noise.metrics.get(place)
    if metric is None or not metric.count:
        return _unknown(cap, "the baseline has no such measure")
    if metric.spread is not None:
        if np.isnan(metric.spread).any():
            return _unknown(cap, "the scores of its single answers are not stored; run the suite again with --fresh")
        return _measured(cap, float(metric.spread.mean()), metric, "from its several answers to each")
    if metric.sampled:
        return _unknown(cap, f"it is measured for the task's first metric, not for {gate.metric}")
    if again is None or not again.count:
        return _unknown(cap, "the baseline has no second pass (noise_floor)")
    how = f"from its second pass over {count(again.count, 'item')}"
    return _measured(cap, float(np.square(again.drops).mean()) / 2, metric, how)


def _measured(cap: float, variance: float, metric: PairedMetric, how: str) -> NoiseLimit:
    loss = rerun_loss(variance, metric.count)
    if loss <= 0:
        return _unknown(cap, "the baseline gives every item the same score again, so its noise is no limit")
    says = (
        f"the limit is the baseline's own noise: one run over {count(metric.count, 'item')} loses {points(loss)} or "
        f"more against another in one of twenty, {how}"
    )
    if loss > cap:
        says += f"; more than the {points(cap)} of at_most, which counts"
    return NoiseLimit(limit=min(loss, cap), says=says, known=True)


def _unknown(cap: float, why: str) -> NoiseLimit:
    says = f"the noise is not known: {why}; nothing passes on it, and beyond at_most, {points(cap)}, it fails"
    return NoiseLimit(limit=cap, says=f"{says}. Write max_drop as a number", known=False)
