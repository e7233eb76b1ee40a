"""What a suite can certify before it runs: for each gate, the smallest loss its items can show to be safe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.forecast.past_runs import PastMeasure, PastRuns
from harness.forms.design import Certified, Design, Flips, SeenError
from harness.metrics.row import Kind
from harness.metrics.table import lookup
from harness.planning.task_plan import TaskPlan
from harness.records.items import PlannedItem
from harness.records.measures import Measure
from harness.stats import DISCORDANCE_PRIORS
from harness.suite.gate_model import Gate
from harness.suite.models import Suite
from harness.suite.variant_model import Variant

UNITS: dict[Kind, str] = {
    "binary": "items", "graded": "items", "ratio": "items", "corpus": "items", "perplexity": "documents",
    "divergence": "documents",
    "speed": "timed pairs",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Certificate(Certified):
    """The row of one gate, or of one slice of it, in the planner's table; `says` is the whole sentence."""

    place: str
    """`gates[1]`."""
    part: str = ""
    """The slice, where the gate looks at each."""
    judges: str
    """Task and metric, and the slice."""
    limit: str
    count: int | None = None
    """Items, documents or timed pairs."""

    @property
    def gate(self) -> str:
        """For people: the gate, followed by the slice."""
        return f"{self.place} {self.part}".strip()


def certificates(suite: Suite, plans: Sequence[TaskPlan], seen: PastRuns | None = None) -> tuple[Certificate, ...]:
    """One row per gate (and slice), by the formulas of `stats.power`: 80 % power, no true loss, and as many flips
    and as much spread as earlier runs showed, priors where there are none."""
    by_name = {plan.name: plan for plan in plans}
    rows: list[Certificate] = []
    for index, gate in enumerate(suite.gates):
        rows.extend(_rows(f"gates[{index}]", gate, suite, by_name, seen or PastRuns()))
    return tuple(rows)


def _rows(place: str, gate: Gate, suite: Suite, plans: dict[str, TaskPlan], seen: PastRuns) -> Iterator[Certificate]:
    metric = lookup(gate.metric)
    limit = gate.row.rule(gate.row.notation.limit(gate.limit, metric.unit if metric is not None else ""))
    if gate.measures_limit:
        limit = f"{gate.row.noun}: noise, at most {limit.partition('≤ ')[2]}"
    if gate.weights:
        yield from _several(place, gate, suite, plans, seen, limit)
        return
    if gate.task is None:
        design = _measured(gate, suite, seen)
        count = None if design.kind == "memory" else design.count
        yield _row(place, "", gate.metric, limit, count, design.kind, gate.row.certify(design, gate.limit))
        return
    plan = plans.get(gate.task)
    for part, items in () if plan is None else _parts(gate, plan).items():
        where = f"{gate.task} {gate.metric}" + (f" on {part}" if part else "")
        label = (part or "") if gate.slice == "each" else ""
        if items:
            answers = answers_planned(plan)
            design = designed(gate, suite, gate.task, tuple(items), seen, answers=answers)
            if gate.row.looks_at == "rest" and plan is not None:
                rest = tuple(item for item in _usable(plan) if item not in items)
                design = _against_rest(design, designed(gate, suite, gate.task, rest, seen, answers=answers))
            certified = gate.row.certify(design, gate.limit)
            yield _row(place, label, where, limit, len(items), design.kind, certified)
        else:
            nobody = Certified.impossible(": no item to judge")
            yield _row(place, label, where, limit, None, "graded", nobody)


def _row(
    place: str, part: str, judges: str, limit: str, count: int | None, kind: Kind, certified: Certified
) -> Certificate:
    number = "" if count is None else f": {count} {UNITS[kind]}"
    found = vars(certified) | {"says": f"{judges}{number}{certified.says}"}
    return Certificate(place=place, part=part, judges=judges, limit=limit, count=count, **found)


def _parts(gate: Gate, plan: TaskPlan) -> dict[str | None, list[PlannedItem]]:
    """Items the gate can use, by slice where it looks at slices."""
    usable = _usable(plan)
    slices: dict[str, list[PlannedItem]] = {}
    for item in usable:
        for field, value in item.slices.items():
            slices.setdefault(f"{field}={value}", []).append(item)
    found = {part: usable if part is None else slices[part] for part in gate.parts(slices)}
    return found or ({} if gate.slice == "each" else {gate.slice: []})


def _usable(plan: TaskPlan) -> list[PlannedItem]:
    return [item for item in plan.items if item.too_long is None]


def _several(
    place: str, gate: Gate, suite: Suite, plans: dict[str, TaskPlan], seen: PastRuns, limit: str
) -> Iterator[Certificate]:
    """The mean over several tasks; nothing where one of them is not planned."""
    asked = {task: tuple(_usable(plans[task])) for task in gate.weights if task in plans}
    if len(asked) < len(gate.weights):
        return
    where, count = f"{gate.scope} {gate.metric}", sum(map(len, asked.values()))
    if not all(asked.values()):
        yield _row(place, "", where, limit, None, "graded", Certified.impossible(": a task has no item to judge"))
        return
    whole = sum(gate.weights.values())
    parts = tuple(
        (gate.weights[task] / whole, designed(gate, suite, task, items, seen, answers=answers_planned(plans[task])))
        for task, items in asked.items()
    )
    design = replace(parts[0][1], count=count, sizes=None, parts=parts)
    yield _row(place, "", where, limit, count, design.kind, gate.row.certify(design, gate.limit))


def _against_rest(inside: Design, rest: Design) -> Design:
    """A slice against the rest of its task."""
    if not rest.count:
        return inside
    return replace(inside, count=inside.count + rest.count, sizes=None, parts=((1.0, inside), (-1.0, rest)))


def _alpha(gate: Gate, suite: Suite) -> float:
    return gate.alpha if gate.alpha is not None else suite.alpha


def _measured(gate: Gate, suite: Suite, seen: PastRuns) -> Design:
    """Timed pairs, by the spread of like variants or of the baseline against itself; memory."""
    metric, pairs = lookup(gate.metric), suite.speed.pairs if suite.speed is not None else 0
    errors = [
        (each.error * (each.pairs / pairs) ** 0.5, each.run)
        for (variant, workload, name), each in seen.speed.items()
        if name == gate.metric and gate.workload in (None, workload) and variant in candidates_of(gate, suite) and pairs
    ]
    if not errors and seen.noise is not None and pairs:
        own = [each.spread for each in seen.noise.speed if each.metric == gate.metric]
        errors = [(each / pairs**0.5, f"{seen.noise_run}, the baseline alone") for each in own]
    error, run = max(errors, default=(None, ""))
    return Design(
        metric=gate.metric,
        kind="memory" if metric is not None and metric.kind == "memory" else "speed",
        count=pairs,
        alpha=_alpha(gate, suite),
        seen=None if error is None else SeenError(error=error, run=run),
    )


def answers_planned(plan: TaskPlan | None) -> int:
    """How many answers an item is asked for."""
    asked = [] if plan is None or plan.kind != "generate" else [len(requests) for requests in plan.requests]
    return max(asked, default=1)


def designed(
    gate: Gate, suite: Suite, task: str, items: tuple[PlannedItem, ...], seen: PastRuns, *, answers: int
) -> Design:
    """Items or documents, each with so many answers, and what earlier runs showed of like candidates."""
    metric = lookup(gate.metric)
    past = {name: seen.measures.get((name, task, gate.metric)) for name in candidates_of(gate, suite)}
    known = [each for each in past.values() if each is not None]
    kind: Kind = metric.kind if metric is not None else "graded"
    if kind == "binary" and answers > 1:
        kind = "graded"  # until an earlier run shows otherwise
    if kind in ("binary", "graded") and known:
        kind = "binary" if known[0].measure.kind == "binary" else "graded"
    clusters = Counter(item.cluster for item in items)
    alone = clusters.pop(None, 0)
    errors = [
        SeenError(error=_brought(each, each.error, len(items), answers), run=each.run, spread=each.measure.spread)
        for each in known
        if each.error is not None
    ]
    return Design(
        metric=gate.metric,
        kind=kind,
        count=len(items),
        sizes=(*clusters.values(), *[1] * alone) if clusters else None,
        alpha=_alpha(gate, suite),
        flips=expected_flips(suite, past),
        level=seen.levels.get(f"{task}/{gate.metric}"),
        seen=max(errors, default=None, key=lambda each: each.error),
    )


def _brought(past: PastMeasure, error: float, items: int, answers: int) -> float:
    """The error of an earlier run, over so many items with so many answers each: the variance of one answer's
    difference is divided by the answers, what items differ by is not."""
    variance, spread = error**2 * past.measure.n / items, past.measure.spread
    if spread is not None and spread.within is not None and spread.answers is not None:
        moved = spread.within / items * (1 / answers - 1 / spread.answers)
        variance = max(variance + moved, spread.within / items / answers)
    return float(variance**0.5)


def candidates_of(gate: Gate, suite: Suite) -> tuple[str, ...]:
    """Those that the gate looks at."""
    return gate.variants or suite.candidates


def _prior(variant: Variant) -> float:
    """The share of flips to expect of a variant by its bits."""
    if variant.quantize is not None:
        return DISCORDANCE_PRIORS[8 if variant.quantize.claimed_bits >= 8 else 4]
    return DISCORDANCE_PRIORS[4 if variant.must_be_quantized() else 16]


def expected_flips(suite: Suite, past: dict[str, PastMeasure | None]) -> Flips:
    """Of the gate's candidates the one that flips most: by an earlier run, by its bits where there is none.

    Half a flip is added to those seen: none in an earlier run is not none in the next.
    """
    found = [] if past else [Flips(share=DISCORDANCE_PRIORS[4])]
    for name, seen in past.items():
        if seen is None or seen.measure.right_to_wrong is None or seen.measure.wrong_to_right is None:
            found.append(Flips(share=_prior(suite.variants[name])))
            continue
        flips, n = seen.measure.right_to_wrong + seen.measure.wrong_to_right, seen.measure.n
        correlation = _correlation(seen.measure) if flips else None
        share = min(1.0, (flips + 0.5) / (n + 1))
        found.append(Flips(share=share, variant=name, run=seen.run, correlation=correlation))
    return max(found, key=lambda each: each.share)


def _correlation(measure: Measure) -> float | None:
    """Of two items of one cluster, from the design effect of clusters of this mean size."""
    if measure.design_effect is None or not measure.clusters or measure.n <= measure.clusters:
        return None
    return min(1.0, max(0.0, (measure.design_effect - 1) / (measure.n / measure.clusters - 1)))
