"""Suites of imported variants as text: a starter for what the files hold, and a user's own with other variants."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode

from harness.imports.open_side import named_tasks
from harness.imports.shape import ImportedSide

LIMIT = 0.02


@dataclass(frozen=True, kw_only=True)
class Import:
    """One variant: the first of several is the baseline."""

    name: str
    path: Path
    """Absolute."""
    form: str


def variants_text(imports: tuple[Import, ...]) -> str:
    lines = ["variants:"]
    for number, each in enumerate(imports):
        mark = ", baseline: true" if number == 0 else ""
        where = f"{{path: {json.dumps(str(each.path))}, format: {each.form}}}"
        lines.append(f"  {json.dumps(each.name)}: {{import: {where}{mark}}}")
    return "\n".join(lines) + "\n"


def with_variants(text: str, imports: tuple[Import, ...], *, suite: str) -> str:
    """A suite's text with these variants in the place of its own, and with a name where it has none.

    Lines keep their numbers, so that messages point into the user's file. Text that is no mapping stays as it is: the
    loader says what is wrong with it.
    """
    try:
        root = YAML(typ="rt").compose(text)
    except YAMLError:
        return text
    if root is not None and (not isinstance(root, MappingNode) or root.flow_style):
        return text
    lines = text.splitlines()
    keys = [] if root is None else [(key.value, key.start_mark.line) for key, _ in root.value]
    for place, (name, start) in enumerate(keys):
        if name == "variants":
            end = keys[place + 1][1] if place + 1 < len(keys) else len(lines)
            lines[start:end] = [""] * (end - start)
    if "suite" not in dict(keys):
        lines.append(f"suite: {json.dumps(suite)}")
    return "\n".join(lines) + "\n" + variants_text(imports)


def starter(side: ImportedSide, imports: tuple[Import, ...], *, suite: str) -> str:
    """A commented suite with every task and metric of the baseline's files. Raises `UnreadableError`."""
    tasks = ["tasks:"]
    gates = ["gates:"]
    for name, task in named_tasks(side).items():
        tasks.append(f"  {name}: {{imported: {json.dumps(task.name)}}}   # {task.kind}")
        if task.fields:
            tasks.append(
                f"  # slice_by: [...] or cluster_by: FIELD inside the braces; fields: {', '.join(task.fields)}"
            )
        for number, metric in enumerate(task.metrics):
            gate = f"  - {{task: {name}, metric: {json.dumps(metric.name)}, max_drop: {LIMIT}}}"
            gates.append(gate if number == 0 else f"  # {gate.strip()}")
    return "\n".join(
        (
            "# Results of other programs, compared item by item. 0.02 is 2 percentage points.",
            "#   quantgate run THIS_FILE       imports what is new, judges, writes the report",
            f"suite: {json.dumps(suite)}",
            "",
            variants_text(imports),
            *tasks,
            "",
            *gates,
            "",
        )
    )
