"""The conditions of a run's measurements, stored in the verdict, so that history knows which figures form one series.

A run whose tasks have changed in the suite since can no longer be judged under it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from harness.comparison.candidates import Comparison
from harness.records.batching_codes import batching_code
from harness.records.evaluation_manifest import EvaluationManifest
from harness.records.run_manifest import RunManifest
from harness.records.verdict import Conditions, TaskFacts
from harness.suite.describe import task_definition
from harness.suite.load import LoadedSuite
from harness.suite.locations import resolve_file


def conditions(evaluations: Mapping[str, EvaluationManifest]) -> Conditions | None:
    """What a variant was measured with in one run, the same for all its tasks; None without an evaluation."""
    for manifest in evaluations.values():
        identity = manifest.identity
        return Conditions(
            weights=identity.weights,
            quantization=_quantization(identity.quantization),
            engine=identity.engine,
            versions=identity.versions,
            dtype=identity.dtype,
            device_type=identity.device_type,
        )
    return None


def _quantization(text: str) -> str:
    """Without a scripted engine's script, which plays its weights."""
    kept = {key: value for key, value in (json.loads(text) if text else {}).items() if key != "script"}
    return json.dumps(kept, sort_keys=True) if kept else ""


def task_facts(comparison: Comparison) -> tuple[TaskFacts, ...]:
    """The requests of each task of the run."""
    found = comparison.baseline_manifests
    return tuple(
        TaskFacts(
            task=task.task,
            kind=task.kind,
            items=task.items,
            tokens=task.tokens,
            too_long=task.too_long,
            metrics=task.metrics,
            source=task.source,
            plan=task.plan,
            definition=task.definition,
            data_hash=task.data_hash,
            notes=task.notes,
            batching=batching_code(found[task.task].identity.batching) if task.task in found else "",
        )
        for task in comparison.run.tasks.values()
    )


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
