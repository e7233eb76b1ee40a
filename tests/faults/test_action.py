"""Faults around the GitHub action: its own script, run as it stands, on real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OLD = "# an old report: PASS\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A checkout with a suite, an old report, and quantgate where the action installs it."""
    rows = [{"q": f"w{n}", "a": "w8", "b": "w9"} for n in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ask = {"data": "rows.jsonl", "prompt": "{{q}}", "choices": ["{{a}}", "{{b}}"], "answer": "{{a}}"}
    suite = {
        "suite": "acted",
        "model": "none",
        "variants": {"full": {"engine": "scripted", "baseline": True}, "cand": {"engine": "scripted"}},
        "tasks": {"t": {"choice": ask}},
        "gates": [{"task": "t", "metric": "acc", "max_drop": 0.5}],
        "noise_floor": False,
    }
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    old = tmp_path / "reports" / "acted" / "20200101-000000-aaaa"
    old.mkdir(parents=True)
    (old / "report.md").write_text(OLD)
    binaries = tmp_path / "temp" / "quantgate" / "bin"
    binaries.mkdir(parents=True)
    for name, command in (("python", ""), ("quantgate", " -m harness")):
        (binaries / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n')
        (binaries / name).chmod(0o755)
    (tmp_path / "temp" / "quantgate-outcome.json").write_text('{"markdown": "reports/acted/20200101-000000-aaaa"}')
    return tmp_path


def act(workspace: Path, **inputs: str) -> tuple[int, str, dict[str, str]]:
    """The action's script: its exit code, the job's summary and the step's outputs."""
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    (script,) = [step["run"] for step in steps if step.get("id") == "run"]
    summary, outputs = workspace / "summary", workspace / "outputs"
    summary.write_text("")
    outputs.write_text("")
    given = {"SUITE": "suite.yaml", "ARGS": "", "PASS_INCONCLUSIVE": "false", **inputs}
    files = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(outputs), "GITHUB_SHA": "0" * 40}
    place = {"RUNNER_TEMP": str(workspace / "temp"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=workspace,
        env={**os.environ, **given, **files, **place},
        timeout=120,
        check=False,
        capture_output=True,
    )
    told = dict(line.split("=", 1) for line in outputs.read_text().splitlines())
    return done.returncode, summary.read_text(), told


@pytest.mark.fault("F40", "a suite that is missing, with an old report on disk", "no summary and no report")
@pytest.mark.parametrize(
    "inputs", [{"SUITE": "missing.yaml"}, {"ARGS": "--limit none"}, {"ARGS": "--results /dev/null"}]
)
def test_a_run_that_did_not_happen_shows_no_report(workspace: Path, inputs: dict[str, str]) -> None:
    """The job ends with the run's code, and nothing of an earlier run is shown for it or kept as its."""
    code, summary, told = act(workspace, **inputs)
    assert code in (2, 3)
    assert summary == ""
    assert told == {"exit-code": str(code)}


@pytest.mark.fault("F40", "reports written elsewhere than the action looks", "the run says where they are")
@pytest.mark.parametrize("args", ["", "--reports elsewhere"])
def test_the_report_of_this_run_is_shown(workspace: Path, args: str) -> None:
    """Wherever it was written, and no other."""
    code, summary, told = act(workspace, ARGS=args)
    assert told["exit-code"] == str(code)
    assert code in (0, 11, 12)
    assert OLD not in summary
    assert (workspace / told["reports"] / "report.md").read_text() == summary
    assert told["reports"].startswith("elsewhere" if args else "reports")
    assert (workspace / told["records"] / "verdict.json").is_file()


@pytest.mark.fault("F41", "shell commands in the inputs suite and args", "not run")
@pytest.mark.parametrize("name", ["SUITE", "ARGS"])
@pytest.mark.parametrize("text", ["$(touch pwned)", "`touch pwned`", "; touch pwned", '" ; touch pwned ; "'])
def test_an_input_is_no_command(workspace: Path, name: str, text: str) -> None:
    """Whatever stands in it."""
    code, _, _ = act(workspace, **{name: text})
    assert code == 2
    assert not (workspace / "pwned").exists()
