"""Roughly how long a run takes, from evaluations that this host stored before. Nothing is guessed from sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.forecast.past_runs import PastRuns
from harness.planning.task_plan import TaskPlan
from harness.suite.models import Suite


@dataclass(frozen=True, kw_only=True)
class VariantTime:
    """One variant from nothing: every task, a load, and the timed pairs where it is timed."""

    variant: str
    seconds: float | None
    """None where no task of it can be estimated."""
    rough: bool
    """Part of it is estimated from another variant's pace."""
    unknown: tuple[str, ...]
    """Tasks (and `speed`) without a stored evaluation on this host."""


def durations(suite: Suite, plans: Sequence[TaskPlan], seen: PastRuns) -> tuple[VariantTime, ...]:
    """One row per variant, by tokens per second of the largest stored evaluation of the same variant and task on this
    host; by the slowest other variant where this one has none, which is marked as rough."""
    return tuple(_variant(name, suite, plans, seen) for name in suite.variants)


def _variant(name: str, suite: Suite, plans: Sequence[TaskPlan], seen: PastRuns) -> VariantTime:
    seconds, rough, unknown = 0.0, False, []
    for plan in plans:
        tokens = sum(item.tokens for item in plan.items)
        own = seen.paces.get((name, plan.name))
        others = [each.seconds / each.tokens for (_, task), each in seen.paces.items() if task == plan.name]
        if own is None and not others:
            unknown.append(plan.name)
            continue
        rough = rough or own is None
        seconds += tokens * (own.seconds / own.tokens if own is not None else max(others))
    if suite.speed is not None and name != suite.baseline:
        pair = seen.pair_seconds.get(name)
        rough = rough or (pair is None and bool(seen.pair_seconds))
        pair = max(seen.pair_seconds.values(), default=None) if pair is None else pair
        if pair is None:
            unknown.append("speed")
        else:
            seconds += (suite.speed.pairs + 1) * pair  # one pair to warm up
    seconds += seen.loads.get(name, 0.0)
    known = len(unknown) < len(plans) + (suite.speed is not None and name != suite.baseline)
    return VariantTime(variant=name, seconds=seconds if known else None, rough=rough, unknown=tuple(unknown))
