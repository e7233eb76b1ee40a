"""What a run has to do, in its order: every evaluation and timing that is not stored. Said in advance, so that the time
left of the whole run can be estimated."""

from __future__ import annotations

from collections.abc import Sequence

from harness.planning.second_pass import second_pass
from harness.planning.task_plan import TaskPlan
from harness.runner.abba_timing import pairs_of, speed_key
from harness.runner.base_model import NAME
from harness.runner.early_stop import work_of
from harness.runner.eta import ITEMS, PAIRS, WorkItem
from harness.runner.run_setting import RunSetting
from harness.runner.variants import RunVariant


def missing_work(run: RunSetting, candidates: Sequence[RunVariant], *, timed: bool) -> list[WorkItem]:
    """The parts of a run. An evaluation that was begun before counts in full, and so do those of the model before
    fine-tuning, which is not looked up yet. `timed`: candidates are timed."""
    suite, baseline = run.suite, run.baseline
    found = [_part(baseline.name, plan) for plan in run.missing(baseline)]
    if suite.noise_floor is not None:
        for plan in run.plans:
            again = second_pass(plan, suite.noise_floor, suite.seed)
            states = run.key(baseline, plan) if plan.divergence else None
            if again is not None and run.store.evaluation(run.keys.key(baseline, again, states)) is None:
                found.append(_part(baseline.name, again))
    if suite.base is not None:
        found += [_part(NAME, plan) for plan in run.plans]
    for candidate in candidates:
        found += [_part(candidate.name, plan) for plan in run.missing(candidate)]
        if suite.speed is not None and timed:
            key = run.keys.timing(speed_key(baseline, candidate, suite.speed, run.host), baseline, candidate)
            if run.store.speed(key) is None:
                work = float(pairs_of(suite.speed))
                found.append(WorkItem(variant=candidate.name, task="speed", unit=PAIRS, work=work))
    return found


def _part(variant: str, plan: TaskPlan) -> WorkItem:
    return WorkItem(variant=variant, task=plan.name, unit=ITEMS, work=work_of(plan, plan.chunks))
