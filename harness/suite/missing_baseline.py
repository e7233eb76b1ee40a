"""Gates against the last promoted version that have no gate from the full-precision model beside them. Pure.

A gate on each step lets small losses add up over releases; only a limit that does not move with the releases stops
that. Decides which gates are such a limit for which, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.suite.gate_model import Gate
from harness.suite.models import Suite

Place = tuple[str | int, ...]


def missing_baseline_warnings(suite: Suite) -> Iterator[tuple[Place, str]]:
    """Gates with `against: reference` that permit cumulative drift, as (location, message). These are warnings, not
    errors."""
    for index, gate in enumerate(suite.gates):
        if gate.against == "reference" and (says := _unanchored(gate, suite)) is not None:
            yield ("gates", index), says


def _unanchored(gate: Gate, suite: Suite) -> str | None:
    what = " ".join(part for part in (gate.task, gate.metric) if part)
    what += f" on {gate.slice}" if gate.slice not in (None, "each") else " on each slice" if gate.slice else ""
    fixed = [each for each in suite.gates if _anchors(each, gate)]
    blocking = [each for each in fixed if each.severity == "block"]
    says = (
        f"{what} is held against the last promoted version, and nothing limits its loss since the full-precision "
        "model: small steps add up"
    )
    add = "add a gate on it without `against`"
    if not fixed:
        return f"{says} unseen; {add}"
    if gate.severity == "block" and not blocking:
        return f"{says}, and the gate that sees it only warns; {add} that blocks"
    wanted = gate.variants or suite.candidates
    covering = blocking if gate.severity == "block" else fixed
    bare = [name for name in wanted if not any(name in (each.variants or suite.candidates) for each in covering)]
    return f"{says} unseen for {', '.join(bare)}; {add} for every variant" if bare else None


def _anchors(other: Gate, gate: Gate) -> bool:
    """Whether `other` limits the same figure against something that promotions do not move: the baseline or a fixed
    level."""
    return (
        (other.task, other.metric) == (gate.task, gate.metric)
        and other.against == "baseline"
        and other.on != "baseline"
        and other.slice in (gate.slice, "each" if gate.slice is not None else None)
    )
