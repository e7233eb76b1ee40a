"""The conditions that must be equal for two runs' figures to form one series, and the differences as sentences.

For quality: the task's definition, data and tokens, and for both sides the quantization, number format, device type,
engine and the libraries that compute. For speed and memory: the host and Python too, and no task. The weights are not
among them: a new fine-tune is a new version of the series, compared with its own baseline as every other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from harness.records.batching_codes import batching_code
from harness.records.evaluation_manifest import Host
from harness.records.summary import CandidateView, TaskView, VerdictSummary
from harness.records.verdict import Conditions

Group = Mapping[str, str]
"""Name of a condition to its value."""
SUITE, HOST, BASELINE, CANDIDATE = "suite", "host", "baseline", "candidate"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The conditions of one figure of one run: groups by name; a group that was not recorded is absent."""

    groups: Mapping[str, Group]
    task: str
    variant: str


def of_quality(summary: VerdictSummary, candidate: CandidateView, task: str) -> Measured:
    """The conditions of a figure of a task."""
    groups = _sides(summary, candidate, python=False)
    asked = next((each for each in summary.tasks if each.task == task), None)
    if asked is not None and asked.plan:
        groups[SUITE] = _asked(asked)
    return Measured(groups=groups, task=task, variant=candidate.variant)


def of_cost(summary: VerdictSummary, candidate: CandidateView) -> Measured:
    """The conditions of a speed or memory figure."""
    groups = _sides(summary, candidate, python=True)
    groups[HOST] = {"fingerprint": summary.host.fingerprint, "host": host_words(summary.host)}
    return Measured(groups=groups, task="", variant=candidate.variant)


def agree(one: Measured, other: Measured) -> bool:
    """Equal in every group that both know."""
    return all(group == other.groups.get(name, group) for name, group in one.groups.items())


def joined(one: Measured, other: Measured) -> Measured:
    """Merges two compatible sets of conditions."""
    return Measured(groups={**one.groups, **other.groups}, task=other.task, variant=other.variant)


def differences(before: Measured, after: Measured) -> tuple[str, ...]:
    """The differences, each in a few words; the suite first."""
    said = []
    known = {name: (group, after.groups[name]) for name, group in before.groups.items() if name in after.groups}
    if SUITE in known:
        said += _suite_changes(*known[SUITE], after.task)
    if HOST in known and known[HOST][0] != known[HOST][1]:
        said.append(_host_change(*known[HOST]))
    sides = {name: _changes(*known[name]) if name in known else () for name in (BASELINE, CANDIDATE)}
    both = [each for each in sides[BASELINE] if each in sides[CANDIDATE]]
    said += both
    said += [f"{each} (baseline)" for each in sides[BASELINE] if each not in both]
    said += [f"{each} ({after.variant})" for each in sides[CANDIDATE] if each not in both]
    return tuple(said)


def host_words(host: Host) -> str:
    """`AMD EPYC 9354, 8 cores, 34 GB, NVIDIA L4`."""
    memory = f"{host.memory_bytes / 1e9:.0f} GB"
    return ", ".join([host.processor, f"{host.cores} cores", memory, *host.accelerators])


def _asked(task: TaskView) -> Group:
    return {
        "data": task.data_hash or "",
        "definition": task.definition,
        "prompts": task.plan,
        "batching": batching_code(task.batching),
    }


def _sides(summary: VerdictSummary, candidate: CandidateView, *, python: bool) -> dict[str, Group]:
    sides = {BASELINE: summary.baseline_conditions, CANDIDATE: candidate.conditions}
    return {name: _side(found, python=python) for name, found in sides.items() if found is not None}


def _side(found: Conditions, *, python: bool) -> Group:
    return {
        "engine": found.engine,
        "dtype": found.dtype,
        "device": found.device_type,
        **{name: version for name, version in sorted(found.versions.items()) if python or name != "python"},
        **_flat(found.quantization),
    }


@cache
def _flat(quantization: str) -> Group:
    """`{"quantize": {"bits": 8}}` as `quantize bits`: `8`. Without nulls."""
    found: dict[str, str] = {}
    for block, value in (json.loads(quantization) if quantization else {}).items():
        inner = value if isinstance(value, dict) else {"": value}
        for key, setting in inner.items():
            if setting is not None:
                text = setting if isinstance(setting, str) else json.dumps(setting, sort_keys=True)
                found[f"{block} {key}".strip()] = text
    return found


def _suite_changes(before: Group, after: Group, task: str) -> list[str]:
    """The root only: new data gives new prompts too."""
    changed = [name for name in before if before[name] != after[name]]
    if "data" in changed:
        return [f"suite changed: data of task {task}"]
    if "definition" in changed:
        return [f"suite changed: definition of task {task}"]
    if "prompts" in changed:
        return [f"the tokens of task {task} changed (tokenizer, template or items)"]
    return [f"batching of task {task} changed"] if changed else []


def _host_change(before: Group, after: Group) -> str:
    if before["host"] == after["host"]:
        return f"host changed: fingerprint {before['fingerprint'][:8]} → {after['fingerprint'][:8]}"
    return f"host changed: {before['host']} → {after['host']}"


def _changes(before: Group, after: Group) -> tuple[str, ...]:
    names = dict.fromkeys((*before, *after))
    return tuple(
        f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
        for name in names
        if before.get(name) != after.get(name)
    )
