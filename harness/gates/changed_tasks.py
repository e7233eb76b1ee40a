"""What changed in a suite's tasks since a run was made: such a run can no longer be judged under that suite."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.records.run_manifest import RunManifest
from harness.suite.definition import task_definition
from harness.suite.load import LoadedSuite
from harness.suite.locations import resolve_file


def changed_tasks(run: RunManifest, loaded: LoadedSuite) -> dict[str, str]:
    """Task to what differs between the run and the current suite. Limits, gates and variants do not count."""
    changed = {}
    for name, task in run.tasks.items():
        if name not in loaded.suite.tasks:
            continue
        if task_definition(loaded.suite, name) != task.definition:
            changed[name] = "its definition in the suite changed since this run; run the suite again"
        elif task.data_file is not None and task.data_hash is not None:
            path = resolve_file(loaded, task.data_file)
            if not path.exists():
                continue
            if _file_hash(path) != task.data_hash:
                changed[name] = f"{task.data_file} changed since this run; run the suite again"
    return changed


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
