"""Selects findings by GATE, --variant and --slice. An unknown name lists the available ones."""

from __future__ import annotations

import re

from harness.errors import UsageError
from harness.records.findings import Finding
from harness.records.verdict import Verdict


def choose(verdict: Verdict, gate: str, *, variant: str | None, slice_name: str | None) -> tuple[Finding, ...]:
    """The findings of `gates[2]`, `2`, a gate's name, `task/metric`, `task/metric/form` or a metric, in order.

    Raises `UsageError` where none matches, with the available ones.
    """
    every = (*verdict.baseline_findings, *(finding for each in verdict.candidates for finding in each.findings))
    known = (verdict.baseline, *(each.variant for each in verdict.candidates))
    if variant is not None and variant not in known:
        raise UsageError(f"--variant {variant}: run {verdict.run} has {', '.join(known)}")
    named = tuple(finding for finding in every if _is_called(finding, gate))
    if not named:
        raise UsageError(f"{gate}: no gate of run {verdict.run} is called so; there are {_gates(verdict, every)}")
    of_variant = tuple(finding for finding in named if variant in (None, finding.variant))
    if not of_variant:
        judged = ", ".join(dict.fromkeys(finding.variant for finding in named))
        raise UsageError(f"--variant {variant}: {gate} judged {judged}{_unjudged(verdict, variant)}")
    chosen = tuple(finding for finding in of_variant if slice_name in (None, finding.slice))
    if not chosen:
        slices = ", ".join(dict.fromkeys(finding.slice for finding in of_variant if finding.slice))
        raise UsageError(f"--slice {slice_name}: {gate} looks at {slices or 'all items together, at no slice'}")
    return chosen


def _is_called(finding: Finding, gate: str) -> bool:
    place = f"gates[{finding.position}]"
    number = f"gates[{gate}]" if re.fullmatch("[0-9]+", gate) else gate
    own = f"{finding.task}/{finding.metric}" if finding.task else finding.metric
    return number in (place, finding.gate, own, f"{own}/{finding.form}", finding.metric, finding.name)


def _unjudged(verdict: Verdict, variant: str | None) -> str:
    """Why a candidate may have no finding at all."""
    sentences = [each.sentence for each in verdict.candidates if each.variant == variant and not each.findings]
    return f"; {variant}: {sentences[0]}" if sentences else ""


def _gates(verdict: Verdict, every: tuple[Finding, ...]) -> str:
    names: dict[str, str] = {}
    for finding in every:
        own = f"{finding.task}/{finding.metric}" if finding.task else finding.metric
        called = f"{finding.name}: " if finding.name else ""
        names.setdefault(f"gates[{finding.position}]", f"{called}{own}/{finding.form}")
    if names:
        return ", ".join(f"{place} ({says})" for place, says in names.items())
    return f"none: {verdict.sentence}"
