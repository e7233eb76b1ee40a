"""Files that lm-eval 0.4.13 wrote: SmolLM2-135M-Instruct in float32 and in nf4, twelve items a task, on a CPU."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.suite.load import parse_suite

WRITTEN = Path(__file__).parent / "lm_eval_0_4_13"
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A copy of both sides' folders: `fp32` and `nf4`."""
    shutil.copytree(WRITTEN, tmp_path / "written")
    return tmp_path / "written"


def file_of(folder: Path, task: str) -> Path:
    """The samples file of a task of one side."""
    return next(folder.rglob(f"samples_{task}_*.jsonl"))


def edit_lines(file: Path, edit: Edit, *, only: int | None = None) -> None:
    """Change every line of a samples file, or line `only`, counted from 1."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for number, row in enumerate(rows, start=1):
        if only in (None, number):
            edit(row)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def edit_results(folder: Path, edit: Edit) -> None:
    """Change the results file of one side."""
    file = next(folder.rglob("results_*.json"))
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def imported(folder: Path, *, gates: str = "[]", more: str = "", **options: Any) -> harness.Run:
    """The run of `fp32` and `nf4` in a folder."""
    text = (
        f"suite: s\nvariants:\n  fp32: {{import: fp32, baseline: true}}\n  nf4: {{import: nf4}}\ngates: {gates}\n{more}"
    )
    loaded = parse_suite(text, folder / "suite.yaml")
    return harness.run(loaded, results=folder / "results", **options)
