"""Compares the gates with those of the promoted run, so that a changed limit is shown. Pure; judges nothing.

Gates are matched by name, else by what they look at (task, metric, form, slice, workload, against, on, variants), in
order where several look at the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.metrics.table import lookup
from harness.records.findings import Finding, GateChange
from harness.suite.gate_model import Gate
from harness.suite.models import Suite


@dataclass(frozen=True, kw_only=True)
class PromotedGates:
    """The suite of the promoted run."""

    label: str
    """The promoted version's name."""
    suite: Suite | None
    """None where the text that the run stored can no longer be read."""


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What became of the gates. `limits`: a gate's place to the limit it had, where that was another."""

    all: tuple[GateChange, ...]
    limits: Mapping[int, float]


def gate_changes(suite: Suite, before: PromotedGates | None) -> Changes:
    """Changed, added and removed gates since the promoted run, in suite order, removed ones last."""
    if before is None:
        return Changes(all=(), limits={})
    if before.suite is None:
        says = f"the suite of {before.label} can no longer be read, so nobody knows whether a limit changed"
        return Changes(all=(GateChange(gate="", what="changed", looser=None, says=says),), limits={})
    old, when = before.suite, f"when {before.label} was promoted"
    pairs, removed = _matched(suite.gates, old.gates)
    changes: list[GateChange] = []
    limits: dict[int, float] = {}
    for index, gate in enumerate(suite.gates):
        name = f"gates[{index}]"
        if index not in pairs:
            says = f"{_looks_at(gate)}: {_limit(gate)} was not there {when}"
            changes.append(GateChange(gate=name, what="added", looser=False, says=says))
            continue
        earlier = old.gates[pairs[index]]
        parts = _differences(gate, earlier, (suite.alpha, old.alpha))
        if parts:
            says = f"{_looks_at(gate)}: {', '.join(text for text, _ in parts)} {when}"
            changes.append(GateChange(gate=name, what="changed", looser=_looser(parts), says=says))
        if gate.form == earlier.form and gate.limit != earlier.limit:
            limits[index] = earlier.limit
    for index in removed:
        says = f"{_looks_at(old.gates[index])}: {_limit(old.gates[index])} was there {when} and is gone"
        changes.append(GateChange(gate=f"gates[{index}]", what="removed", looser=True, says=says))
    return Changes(all=tuple(changes), limits=limits)


def with_limits_before(findings: Sequence[Finding], changes: Changes) -> tuple[Finding, ...]:
    """The findings, each with the limit that its gate had."""
    return tuple(
        finding
        if (limit := changes.limits.get(finding.position)) is None
        else finding.model_copy(update={"limit_before": limit})
        for finding in findings
    )


def _matched(now: Sequence[Gate], old: Sequence[Gate]) -> tuple[dict[int, int], list[int]]:
    """Index now to index before; and the earlier indices without a match."""
    left = dict(enumerate(old))
    pairs: dict[int, int] = {}
    for index, gate in enumerate(now):
        place = next((each for each, earlier in left.items() if gate.name and gate.name == earlier.name), None)
        if place is not None:
            pairs[index] = place
            del left[place]
    for index, gate in enumerate(now):
        if index in pairs:
            continue
        place = next((each for each, earlier in left.items() if _key(gate) == _key(earlier)), None)
        if place is not None:
            pairs[index] = place
            del left[place]
    return pairs, sorted(left)


def _key(gate: Gate) -> tuple[object, ...]:
    scope = (gate.slice, gate.workload, gate.against, gate.on, frozenset(gate.variants))
    return (gate.scope, gate.metric, gate.form, *scope)


def _differences(now: Gate, old: Gate, alphas: tuple[float, float]) -> list[tuple[str, bool | None]]:
    """The differences as sentences, and whether each lets more through."""
    found: list[tuple[str, bool | None]] = []
    if now.form != old.form:
        found.append((f"{_limit(now)}, was {_limit(old)}", None))
    elif now.limit != old.limit:
        found.append((f"limit {_amount(now)}, was {_amount(old)}", now.row.looser(now.limit, old.limit)))
    alpha, before = now.alpha or alphas[0], old.alpha or alphas[1]
    if alpha != before:
        found.append((f"alpha {alpha:g}, was {before:g}", alpha > before))
    if now.severity != old.severity:
        found.append((f"severity {now.severity}, was {old.severity}", now.severity == "warn"))
    for key in ("task", "metric", "slice", "workload", "against", "on"):
        value, was = getattr(now, key), getattr(old, key)
        if value != was:
            found.append((f"{key} {value or 'none'}, was {was or 'none'}", None))
    if frozenset(now.variants) != frozenset(old.variants):
        fewer = bool(now.variants) and (not old.variants or set(now.variants) < set(old.variants))
        more = bool(old.variants) and (not now.variants or set(now.variants) > set(old.variants))
        was_all, is_all = ", ".join(old.variants) or "all", ", ".join(now.variants) or "all"
        found.append((f"variants {is_all}, was {was_all}", True if fewer else False if more else None))
    return found


def _looser(parts: Sequence[tuple[str, bool | None]]) -> bool | None:
    """Looser if any part is; tighter only if all are."""
    if any(looser for _, looser in parts):
        return True
    return None if any(looser is None for _, looser in parts) else False


def _looks_at(gate: Gate) -> str:
    what = f"{gate.scope} {gate.metric}" if gate.scope else gate.metric
    where = [part for part in (gate.slice and f"slice {gate.slice}", gate.workload) if part]
    where += ["against the promoted version"] if gate.against == "reference" else []
    where += ["of the baseline"] if gate.on == "baseline" else []
    return ", ".join([f"{what} ({gate.name})" if gate.name else what, *where])


def _limit(gate: Gate) -> str:
    return f"{gate.form} {_amount(gate)}"


def _amount(gate: Gate) -> str:
    """The limit in the terms of its form."""
    metric = lookup(gate.metric)
    return gate.row.notation.amount(gate.limit, metric.unit if metric is not None else "")
