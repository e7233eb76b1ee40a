"""An engine of one's own: its folder and one row in a copy of the tree, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import harness

Write = Callable[..., Path]
PACKAGE = Path(harness.__file__).parent
PARROT = Path(__file__).parents[1] / "engines" / "parrot"
ROW = """
ENGINES = {
    **ENGINES,
    "parrot": EngineRow(
        name="parrot",
        module="harness.engines.parrot.parrot_engine",
        model="script",
        packages=("numpy",),
        environment="parrot",
        keys=("script",),
        full_distribution=False,
        preload=True,
    ),
}
"""
GATES = [
    {"task": "say", "metric": "exact_match", "max_drop": 0.2},
    {"task": "read", "metric": "perplexity", "max_increase": "5%"},
    {"task": "read", "metric": "kl_mean", "max": 0.1, "severity": "warn"},
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package with the engine in it."""
    copy = tmp_path / "tree"
    shutil.copytree(PACKAGE, copy / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(PARROT, copy / "harness" / "engines" / "parrot", ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "harness" / "engines" / "registry.py").open("a") as file:
        file.write(ROW)
    return copy


def quantgate(tree: Path, *args: object, status: int = 0) -> str:
    """What the copy's command prints; it ends with this status."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "120"},
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_folder_and_a_row_are_an_engine(tree: Path, write_suite: Write, tmp_path: Path) -> None:
    """Schema, check, a run with real workers, gate, reports and history know it; it shows no whole distribution, so
    that its perplexity is judged and a divergence is not."""
    script = {"quantized_modules": 12, "noise": 0.02, "shift": 0.001}
    variants = {
        "full": {"engine": "parrot", "baseline": True, "script": {}},
        "small": {"engine": "parrot", "quantized": True, "script": script},
    }
    suite, results, reports = write_suite(variants=variants, gates=GATES), tmp_path / "results", tmp_path / "reports"
    assert '"parrot"' in quantgate(tree, "schema")
    assert "parrot" in quantgate(tree, "check", suite)
    assert "parrot" in quantgate(tree, "env", "list")
    assert "PASS" in quantgate(tree, "run", suite, "--results", results, "--reports", reports)
    assert "parrot" in next(reports.rglob("report.html")).read_text()
    assert "PASS" in quantgate(tree, "gate", "--results", results, "--reports", reports)
    verdict = json.loads(next(results.rglob("verdict.json")).read_text())
    rise, divergence = verdict["candidates"][0]["findings"][1:]
    assert rise["value"] is not None
    assert divergence["decision"] == "INCONCLUSIVE"
    assert "small" in quantgate(tree, "history", "scripted", "--results", results)


@pytest.mark.slow
def test_a_model_that_was_there_before_a_timing_is_looked_at_all_the_same(
    tree: Path, write_suite: Write, tmp_path: Path
) -> None:
    """A timing waits for what loads ahead; what it loaded has its tokens compared as every other."""
    small, late = ({"quantized_modules": 12}, {"quantized_modules": 12, "digest": "late", "tokens": "shift"})
    variants = {
        "full": {"engine": "parrot", "baseline": True, "script": {}},
        "small": {"engine": "parrot", "quantized": True, "script": small},
        "late": {"engine": "parrot", "quantized": True, "script": late},
    }
    speed = {"workloads": [{"batch": 1, "prompt_tokens": 8, "new_tokens": 4}], "pairs": 2}
    suite, results = write_suite(variants=variants, gates=GATES, speed=speed), tmp_path / "results"
    quantgate(tree, "run", suite, "--results", results, "--reports", tmp_path / "reports", status=12)
    verdict = json.loads(next(results.rglob("verdict.json")).read_text())
    found = {each["variant"]: each["sentence"] for each in verdict["candidates"]}
    assert "its tokenizer disagrees" in found["late"]
    assert "its tokenizer disagrees" not in found["small"]
