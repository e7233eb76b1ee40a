"""What a suite can certify before it runs: for each gate, the smallest loss its items can show to be safe."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.forecast.certificate import Asked, Basis, Certificate
from harness.forecast.certify_documents import certify_documents
from harness.forecast.certify_items import certify_items
from harness.forecast.past_runs import PastRuns
from harness.metrics.table import lookup
from harness.notation import Notation
from harness.planning.task_plan import TaskPlan
from harness.records.items import PlannedItem
from harness.stats.decision import normal_quantile
from harness.stats.promise import POWER
from harness.suite.gate_model import Gate
from harness.suite.models import Suite

FEW_PAIRS = 10


def certificates(suite: Suite, plans: Sequence[TaskPlan], seen: PastRuns | None = None) -> tuple[Certificate, ...]:
    """One row per gate (and slice), by the formulas of `stats.power`: 80 % power, no true loss, and as many flips
    and as much spread as earlier runs showed, priors where there are none."""
    by_name = {plan.name: plan for plan in plans}
    rows: list[Certificate] = []
    for index, gate in enumerate(suite.gates):
        rows.extend(_rows(f"gates[{index}]", gate, suite, by_name, seen or PastRuns()))
    return tuple(rows)


def _rows(name: str, gate: Gate, suite: Suite, plans: dict[str, TaskPlan], seen: PastRuns) -> Iterator[Certificate]:
    metric = lookup(gate.metric)
    if metric is not None and metric.kind == "memory":
        says = f"{gate.metric}: exact, one fresh process each"
        yield Certificate(place=name, judges=gate.metric, limit=_limit(gate), says=says, enough=True, certifies="exact")
        return
    if metric is not None and metric.kind == "speed":
        yield _speed(name, gate, suite, seen)
        return
    if gate.task is None or gate.task not in plans:
        return
    plan = plans[gate.task]
    for part, items in _parts(gate, plan).items():
        where = f"{gate.task} {gate.metric}" + (f" on {part}" if part else "")
        asked = Asked(
            place=name,
            part=(part or "") if gate.slice == "each" else "",
            where=where,
            gate=gate,
            suite=suite,
            items=tuple(items),
            seen=seen,
        )
        if not items:
            row = replace(
                asked.row("items"), says=f"{where}: no item to judge", count=None, enough=False, possible=False
            )
        elif plan.kind == "perplexity":
            row = certify_documents(asked)
        else:
            row = certify_items(asked)
        yield row.with_limit(_limit(gate))


def _speed(name: str, gate: Gate, suite: Suite, seen: PastRuns) -> Certificate:
    """What so many pairs tell apart, by the spread of like variants or of the baseline against itself."""
    pairs = suite.speed.pairs if suite.speed is not None else 0
    alpha = gate.alpha if gate.alpha is not None else suite.alpha
    row = Certificate(
        place=name, judges=gate.metric, limit=_limit(gate), says=f"{gate.metric}: {pairs} timed pairs", enough=True,
        count=pairs,
    )  # fmt: skip
    if pairs < FEW_PAIRS:
        return row.but(f"; {FEW_PAIRS} at least are needed to decide", possible=False, needs=FEW_PAIRS)
    errors = [
        (each.error * math.sqrt(each.pairs / pairs), each.run)
        for (variant, workload, metric), each in seen.speed.items()
        if metric == gate.metric
        and gate.workload in (None, workload)
        and variant in (gate.variants or suite.candidates)
    ]
    if not errors and seen.noise is not None:
        own = [each.spread for each in seen.noise.speed if each.metric == gate.metric]
        errors = [(each / math.sqrt(pairs), f"{seen.noise_run}, the baseline alone") for each in own]
    if not errors:
        return row.but("; what they tell apart is unknown until the first run")
    error, run = max(errors)
    told = math.expm1((normal_quantile(1 - alpha) + normal_quantile(POWER)) * error)
    words, basis = Notation.PERCENT.rough(told, ""), Basis(what="spread seen", run=run)
    return row.but(f" tell ratios {words} apart (80 % power, {basis})", certifies=words, basis=basis)


def _limit(gate: Gate) -> str:
    """The limit as a person wrote it, in the form's own terms."""
    metric = lookup(gate.metric)
    unit = metric.unit if metric is not None else ""
    return gate.row.rule(gate.row.notation.limit(gate.limit, unit))


def _parts(gate: Gate, plan: TaskPlan) -> dict[str | None, list[PlannedItem]]:
    """Items the gate can use, by slice where it looks at slices."""
    usable = [item for item in plan.items if item.too_long is None]
    if gate.slice is None:
        return {None: usable}
    parts: dict[str | None, list[PlannedItem]] = {}
    for item in usable:
        for field, value in item.slices.items():
            parts.setdefault(f"{field}={value}", []).append(item)
    return parts if gate.slice == "each" else {gate.slice: parts.get(gate.slice, [])}
