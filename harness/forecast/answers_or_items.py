"""How many answers to an item against how many items: what either would certify, by the spread of an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.forecast.certify import answers_planned, designed
from harness.forecast.past_runs import PastRuns
from harness.forms.certified_loss import certain_loss
from harness.forms.design import Design
from harness.notation import count, percent, points
from harness.planning.task_plan import TaskPlan
from harness.suite.gate_model import Gate
from harness.suite.models import Suite


def answers_or_items(suite: Suite, plans: Sequence[TaskPlan], seen: PastRuns) -> tuple[tuple[str, str], ...]:
    """Place and sentence, of the first gate on each mean over several answers whose spread an earlier run showed."""
    found: dict[str, str] = {}
    for index, gate in enumerate(suite.gates):
        plan = next((each for each in plans if each.name == gate.task), None)
        if plan is None or gate.slice is not None or answers_planned(plan) < 2 or gate.metric != plan.metrics[0]:
            continue
        says = _says(gate, suite, plan, seen)
        if says is not None:
            found.setdefault(says, f"gates[{index}]")
    return tuple((place, says) for says, place in found.items())


def _says(gate: Gate, suite: Suite, plan: TaskPlan, seen: PastRuns) -> str | None:
    items, answers = tuple(each for each in plan.items if each.too_long is None), answers_planned(plan)

    def design(times: int, k: int) -> Design:
        made = designed(gate, suite, plan.name, items, seen, answers=k)
        if made.seen is None:
            return made
        sizes = None if made.sizes is None else made.sizes * times
        halved = replace(made.seen, error=made.seen.error / times**0.5)
        return replace(made, count=made.count * times, sizes=sizes, seen=halved)

    now = design(1, answers)
    if now.seen is None or now.seen.spread is None or now.seen.spread.within is None:
        return None
    losses = [certain_loss(each) for each in (now, design(1, 2 * answers), design(2, answers), design(1, 1))]
    own, more, twice, one = ("unknown" if each is None else points(each) for each in losses)
    chance = min(1.0, now.seen.spread.within / answers / (now.seen.error**2 * len(items)))
    return (
        f"{plan.name} {gate.metric}: {count(len(items), 'item')} with {answers} answers each certify {own}; with "
        f"{2 * answers} answers {more}, with twice the items {twice}, with one answer {one}: {percent(chance)} of the "
        f"variance is chance in the answers ({now.seen.basis})"
    )
