"""Suites with one task over rows that a test writes, planned or run on the scripted engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import api
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import Tokenizer
from harness.suite.load import LoadedSuite, load_suite

Rows = Sequence[Mapping[str, object]]


def lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def written(folder: Path, task: Mapping[str, object], rows: Rows | str | None = None, **suite: object) -> LoadedSuite:
    """A suite with the task `t`. `rows`: what `rows.jsonl` holds, as objects or as it stands in the file."""
    if rows is not None:
        (folder / "rows.jsonl").write_text(rows if isinstance(rows, str) else lines(rows))
    whole = {
        "suite": "asked",
        "model": "none",
        "variants": {"full": {"engine": "scripted", "baseline": True}},
        "tasks": {"t": task},
        **suite,
    }
    (folder / "suite.yaml").write_text(json.dumps(whole))
    return load_suite(folder / "suite.yaml")


def planned(
    folder: Path,
    task: Mapping[str, object],
    rows: Rows | str | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    limit: int | None = None,
) -> TaskPlan:
    loaded = written(folder, task, rows)
    (plan,) = plan_suite(loaded, tokenizer or ScriptedTokenizer(), context_length=None, limit=limit)
    return plan


def refusal(folder: Path, task: Mapping[str, object], rows: Rows | str | None = None) -> str:
    """What is said of a suite that is refused, with the exit code of a suite's mistake."""
    with pytest.raises(SuiteError) as caught:
        planned(folder, task, rows)
    assert caught.value.exit_code == 2
    return str(caught.value)


def run_saying(folder: Path, task: Mapping[str, object], rows: Rows, full: str, small: str) -> api.Run:
    """A run whose baseline answers `full` to everything and whose candidate answers `small`."""
    variants = {
        "full": {"engine": "scripted", "baseline": True, "script": {"answer": full}},
        "cand": {"engine": "scripted", "quantized": True, "script": {"answer": small, "quantized_modules": 12}},
    }
    spec: Any = task["generate"]
    gates = [{"task": "t", "metric": spec.get("metric", "exact_match"), "max_drop": 0.05}]
    loaded = written(folder, task, rows, variants=variants, gates=gates, noise_floor=False)
    return api.run(loaded, results=folder / "results", offline=True)
