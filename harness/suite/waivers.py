"""Waivers of a suite: which gate each applies to, and whether it is valid on a given day. Pure; reads no file.

A waiver excuses one finding: one gate, one variant, one slice or workload. Which finding that is, is decided only here,
so that a gate that is added or moved can never inherit another's waiver.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from harness.metrics.table import lookup
from harness.suite.gate_model import Gate, Waiver
from harness.suite.models import Suite
from harness.suite.names import nearest

Place = tuple[str | int, ...]
LONG = timedelta(days=366)
"""Waivers for longer than this cause a warning: they are changed limits in disguise."""


def full_name(gate: Gate) -> str:
    """`intents/acc/max_drop`; without a task `weight_bytes/max_ratio`."""
    return "/".join(part for part in (gate.scope, gate.metric, gate.form) if part)


def waived_gate(suite: Suite, waiver: Waiver) -> int:
    """Index in `gates` of the gate that a waiver of a checked suite refers to."""
    found, _ = _resolve(suite, waiver)
    if found is None:
        raise ValueError(f"waiver of {waiver.gate!r}: the suite was not checked")
    return found


def counts(waiver: Waiver, today: date) -> bool:
    """Whether the waiver is still valid on this day (UTC)."""
    return today < waiver.until


def active_waiver(suite: Suite, gate: int, variant: str, today: date, *, slice_name: str | None = None) -> bool:
    """Whether a FAIL of this gate for this variant (on this slice) would be WAIVED on this day."""
    return any(
        waiver.variant == variant
        and counts(waiver, today)
        and waiver.slice in (None, slice_name)
        and waived_gate(suite, waiver) == gate
        for waiver in suite.waivers
    )


def waiver_problems(suite: Suite) -> Iterator[tuple[Place, str]]:
    """Problems with waivers and gate names, as (location, message)."""
    named: dict[str, int] = {}
    for index, gate in enumerate(suite.gates):
        if gate.name is not None and named.setdefault(gate.name, index) != index:
            yield ("gates", index, "name"), f"{gate.name} is the name of gates[{named[gate.name]}] already"
    meant: dict[tuple[int, str, str | None, str | None], int] = {}
    for index, waiver in enumerate(suite.waivers):
        where: Place = ("waivers", index)
        if waiver.variant not in suite.variants:
            known = tuple(suite.variants)
            message = f"unknown variant {waiver.variant!r}{nearest(waiver.variant, known)}; expected one of "
            yield (*where, "variant"), message + ", ".join(known)
            continue
        found, problem = _resolve(suite, waiver)
        if found is None:
            key, message = problem
            yield ((*where, key) if key else where), message
            continue
        same = (found, waiver.variant, waiver.slice, waiver.workload)
        if meant.setdefault(same, index) != index:
            yield where, f"waives the same as waivers[{meant[same]}]; keep one of them"


def waiver_warnings(suite: Suite, today: date) -> Iterator[tuple[Place, str]]:
    """Warnings about dates, as (location, message)."""
    for index, waiver in enumerate(suite.waivers):
        where: Place = ("waivers", index, "until")
        if not counts(waiver, today):
            yield where, f"the waiver of {waiver.by} ended on {waiver.until}; it excuses nothing, remove or renew it"
        elif waiver.until - today > LONG:
            yield where, f"{waiver.until} is over a year ahead; a limit that may be broken for so long is another limit"


def _resolve(suite: Suite, waiver: Waiver) -> tuple[int | None, tuple[str, str]]:
    """The gate's index; or None with the offending key and a message."""
    named = [index for index, gate in enumerate(suite.gates) if waiver.gate in (gate.name, full_name(gate))]
    if not named:
        return None, ("gate", _unknown_gate(suite, waiver.gate))
    misfits = {index: _misfit(suite, suite.gates[index], waiver) for index in named}
    fitting = [index for index, misfit in misfits.items() if misfit is None]
    if len(fitting) == 1:
        return fitting[0], ("", "")
    if not fitting:
        first = next(misfit for misfit in misfits.values() if misfit is not None)
        return None, first
    fits = " and ".join(f"gates[{index}]" for index in fitting)
    return None, ("gate", f"{waiver.gate!r} fits {fits}; give the one that is meant a name, and name that")


def _unknown_gate(suite: Suite, name: str) -> str:
    known = tuple(gate.name or full_name(gate) for gate in suite.gates)
    if re.fullmatch(r"gates\[\d+\]|\d+", name):
        return (
            f"{name} is a position, and positions move when a gate is added; use the gate's name or "
            f"task/metric/form: one of {', '.join(known) or 'none, the suite has no gate'}"
        )
    return f"unknown gate {name!r}{nearest(name, known)}; expected one of {', '.join(known) or 'none'}"


def _misfit(suite: Suite, gate: Gate, waiver: Waiver) -> tuple[str, str] | None:
    """Why this gate cannot be the one the waiver refers to: the offending key and a message."""
    looks_at = (suite.baseline,) if gate.on == "baseline" else gate.variants or suite.candidates
    if waiver.variant not in looks_at:
        return "variant", f"this gate does not look at {waiver.variant}; it looks at {', '.join(looks_at)}"
    if gate.slice is None and waiver.slice is not None:
        return "slice", "this gate looks at the whole task, not at slices"
    if gate.slice == "each" and waiver.slice is None:
        return "", "this gate looks at each slice: name the one that is waived (slice: FIELD=VALUE)"
    if gate.slice not in (None, "each") and waiver.slice not in (None, gate.slice):
        return "slice", f"this gate looks at {gate.slice}, got {waiver.slice!r}"
    return _misfit_workload(suite, gate, waiver)


def _misfit_workload(suite: Suite, gate: Gate, waiver: Waiver) -> tuple[str, str] | None:
    metric = lookup(gate.metric)
    timed = metric is not None and metric.kind == "speed" and suite.speed is not None
    if not timed or suite.speed is None:
        return None if waiver.workload is None else ("workload", f"{gate.metric} is not measured under a workload")
    names = [f"{each.batch}x{each.prompt_tokens}+{each.new_tokens}" for each in suite.speed.workloads]
    known = [gate.workload] if gate.workload is not None else names
    if waiver.workload is None and len(known) > 1:
        return "", f"this gate looks at several workloads: name the one that is waived (workload: {known[0]})"
    if waiver.workload is not None and waiver.workload not in known:
        return "workload", f"this gate looks at {', '.join(known)}, got {waiver.workload!r}"
    return None
