"""What a run has to do, in its order: every evaluation and timing that is not stored. Said in advance, so that the time
left of the whole run can be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.planning.second_pass import second_pass
from harness.planning.task_plan import TaskPlan
from harness.records.evaluation_manifest import Host
from harness.records.store import Store
from harness.runner.abba_timing import pairs_of, speed_key
from harness.runner.base_model import NAME
from harness.runner.early_stop import work_of
from harness.runner.eta import ITEMS, PAIRS, Part
from harness.runner.evaluation_keys import Keys
from harness.runner.variants import RunVariant
from harness.suite.models import Suite


def expected(
    suite: Suite,
    baseline: RunVariant,
    candidates: Sequence[RunVariant],
    plans: Sequence[TaskPlan],
    keys: Keys,
    store: Store,
    host: Host,
    *,
    timed: bool,
) -> list[Part]:
    """The parts of a run. An evaluation that was begun before counts in full, and so do those of the model before
    fine-tuning, which is not looked up yet. `timed`: candidates are timed."""
    sources = {plan.name: keys.key(baseline, plan, None) for plan in plans if plan.divergence}

    def missing(variant: RunVariant, asked: Sequence[TaskPlan], states: Mapping[str, str]) -> Iterator[Part]:
        for plan in asked:
            if store.evaluation(keys.key(variant, plan, states.get(plan.name))) is None:
                yield _part(variant.name, plan)

    found = list(missing(baseline, plans, {}))
    if suite.noise_floor is not None:
        again = [second_pass(plan, suite.noise_floor, suite.seed) for plan in plans]
        found += missing(baseline, [plan for plan in again if plan is not None], sources)
    if suite.base is not None:
        found += [_part(NAME, plan) for plan in plans]
    for candidate in candidates:
        found += missing(candidate, plans, sources)
        if suite.speed is not None and timed:
            key = keys.timing(speed_key(baseline, candidate, suite.speed, host), baseline, candidate)
            if store.speed(key) is None:
                work = float(pairs_of(suite.speed))
                found.append(Part(variant=candidate.name, task="speed", unit=PAIRS, work=work))
    return found


def _part(variant: str, plan: TaskPlan) -> Part:
    return Part(variant=variant, task=plan.name, unit=ITEMS, work=work_of(plan, plan.chunks))
