"""What a suite can certify before it runs: for each gate, the smallest drop its items can show to be safe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.plan.build import TaskPlan
from harness.records.models import PlannedItem
from harness.spec.metrics import lookup
from harness.spec.models import Gate, Suite, Variant
from harness.stats import DISCORDANCE_PRIORS, certifiable_drop, items_needed, zero_flip_items

FEW_DOCUMENTS = 20
FEW_PAIRS = 10


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What one gate can show with the items planned."""

    gate: str
    says: str
    enough: bool
    """False: with these items the gate cannot be expected to PASS a candidate that lost nothing."""


def certificates(suite: Suite, plans: Sequence[TaskPlan]) -> tuple[Certificate, ...]:
    """One row per gate (and slice), by the formulas of `stats.power`: 80 % power, no true drop, priors for flips."""
    by_name = {plan.name: plan for plan in plans}
    rows: list[Certificate] = []
    for index, gate in enumerate(suite.gates):
        rows.extend(_rows(f"gates[{index}]", gate, suite, by_name))
    return tuple(rows)


def discordance_prior(suite: Suite, gate: Gate) -> float:
    """The largest share of flips to expect of the candidates this gate looks at, by their bits."""
    names = gate.variants or suite.candidates
    return max((_prior(suite.variants[name]) for name in names), default=DISCORDANCE_PRIORS[4])


def _prior(variant: Variant) -> float:
    if variant.quantize is not None:
        return DISCORDANCE_PRIORS[8 if variant.quantize.claimed_bits >= 8 else 4]
    if variant.must_be_quantized():
        return DISCORDANCE_PRIORS[4]
    return DISCORDANCE_PRIORS[16]


def _rows(name: str, gate: Gate, suite: Suite, plans: dict[str, TaskPlan]) -> Iterator[Certificate]:
    metric = lookup(gate.metric)
    if metric is not None and metric.kind == "memory":
        yield Certificate(gate=name, says=f"{gate.metric}: exact, one fresh process each", enough=True)
        return
    if metric is not None and metric.kind == "speed":
        pairs = suite.speed.pairs if suite.speed is not None else 0
        few = "" if pairs >= FEW_PAIRS else f"; {FEW_PAIRS} at least are needed to decide"
        yield Certificate(gate=name, says=f"{gate.metric}: {pairs} timed pairs{few}", enough=not few)
        return
    if gate.task is None or gate.task not in plans:
        return
    plan = plans[gate.task]
    for part, items in _parts(gate, plan).items():
        where = f"{gate.task} {gate.metric}" + (f" on {part}" if part else "")
        label = f"{name} {part}" if part and gate.slice == "each" else name
        count = len(items)
        if count == 0:
            yield Certificate(gate=label, says=f"{where}: no item to judge", enough=False)
        elif plan.kind == "perplexity":
            few = "" if count >= FEW_DOCUMENTS else f"; under {FEW_DOCUMENTS} it can only be INCONCLUSIVE"
            yield Certificate(gate=label, says=f"{where}: {count} documents{few}", enough=not few)
        elif gate.form == "max_drop" and metric is not None and metric.kind == "binary":
            yield _drop(label, where, gate, suite, items)
        else:
            yield Certificate(gate=label, says=f"{where}: {count} items", enough=True)


def _drop(label: str, where: str, gate: Gate, suite: Suite, items: Sequence[PlannedItem]) -> Certificate:
    alpha = gate.alpha if gate.alpha is not None else suite.alpha
    flips = discordance_prior(suite, gate)
    least = zero_flip_items(gate.limit, alpha)
    limit = f"{100 * gate.limit:.3g} pp"
    count = len(items)
    clusters = {item.cluster for item in items}
    if clusters != {None}:
        groups = len(clusters)
        if groups < least:
            few = f"with no flip they count as {groups}, too few to PASS {limit}; {least} clusters at least"
            return Certificate(gate=label, says=f"{where}: {count} items in {groups} clusters; {few}", enough=False)
        where = f"{where} (at best: items of one cluster may flip together)"
    if count < least:
        says = f"{where}: {count} items cannot PASS {limit} even with no flip at all; {least} at least"
        return Certificate(gate=label, says=says, enough=False)
    certain = certifiable_drop(count, discordance=flips, alpha=alpha)
    says = f"{where}: {count} items certify {100 * certain:.2g} pp (80 % power, {100 * flips:.2g} % flips)"
    if certain <= gate.limit:
        return Certificate(gate=label, says=f"{says}; the limit is {limit}", enough=True)
    needed = items_needed(gate.limit, discordance=flips, alpha=alpha)
    return Certificate(gate=label, says=f"{says}; the limit of {limit} needs about {needed:,}", enough=False)


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
