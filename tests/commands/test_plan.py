"""`quantgate plan`: what a person and a program read, before and after a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from harness.commands.plan import plan_command
from harness.errors import UsageError


def write(folder: Path, variants: dict[str, object] | None = None) -> Path:
    rows = [{"q": f"Question {n}?", "a": ["yes", "no"][n % 2]} for n in range(120)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    choice = {"data": "rows.jsonl", "prompt": "{{q}}", "choices": ["yes", "no"], "answer": "{{a}}"}
    suite = {
        "suite": "planned",
        "model": "none",
        "variants": variants
        or {
            "full": {"engine": "scripted", "baseline": True, "script": {"unsteady": 0.5}},
            "small": {"engine": "scripted", "quantized": True, "script": {"quantized_modules": 12, "noise": 0.1}},
        },
        "tasks": {"ask": {"choice": choice}},
        "gates": [
            {"task": "ask", "metric": "acc", "max_drop": 0.01},
            {"task": "ask", "metric": "acc", "max_drop": 0.3},
        ],
    }
    path = folder / "suite.yaml"
    path.write_text(json.dumps(suite))
    return path


def test_before_and_after_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Priors and an unknown time first; then the flips, the noise floor and the time of the run, in JSON too."""
    suite, results = write(tmp_path), tmp_path / "r"
    assert plan_command(suite, results=results, limit=None, as_json=False) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "ask choice 120" in text
    assert "! gates[0] ask acc: 120 items cannot PASS 1 pp even with no flip at all; 268 at least" in text
    assert "time: unknown until the first run on this machine" in text
    assert not results.exists()
    run = harness.run(suite, results=results)
    assert plan_command(suite, results=results, limit=60, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    impossible, possible = found["gates"]
    assert (impossible["possible"], impossible["needs"], possible["count"]) == (False, 268, 60)
    assert f"seen with small in {run.manifest.run}" in possible["basis"]
    assert found["below_noise"]["run"] == run.manifest.run
    assert [each["gate"] for each in found["below_noise"]["gates"]] == ["gates[0]"]
    assert all(each["seconds"] > 0 and not each["rough"] for each in found["time"])


def test_what_cannot_run_here_is_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `check`: the plan is printed where it can be made, with what stands in the way."""
    gone = {"path": "./nowhere"}
    suite = write(tmp_path, {"full": {"engine": "scripted", "baseline": True}, "gone": gone})
    assert plan_command(suite, results=tmp_path / "r", limit=None, as_json=False) == 3
    out = capsys.readouterr().out
    assert "cannot run here" in out
    assert "what each gate can certify" in out


def test_a_suite_without_gates_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Instead of a table without rows."""
    path = write(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "gates": []}))
    assert plan_command(path, results=tmp_path / "r", limit=None, as_json=False) == 0
    assert "the suite sets no gate: everything is measured, nothing is judged" in capsys.readouterr().out


def test_a_limit_of_nothing_is_refused(tmp_path: Path) -> None:
    """As `run`."""
    with pytest.raises(UsageError, match="--limit: expected an integer of at least 1, got 0"):
        plan_command(write(tmp_path), results=tmp_path / "r", limit=0, as_json=False)


def test_a_step_without_an_anchor_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the text and for programs; with a gate from the baseline beside it nothing is said."""
    path = write(tmp_path)
    suite = json.loads(path.read_text())
    step = {"task": "ask", "metric": "acc", "max_drop": 0.3, "against": "reference"}
    path.write_text(json.dumps({**suite, "gates": [step]}))
    assert plan_command(path, results=tmp_path / "r", limit=None, as_json=False) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "! gates[0] ask acc is held against the last promoted version, and nothing limits its loss" in text
    assert plan_command(path, results=tmp_path / "r", limit=None, as_json=True) == 0
    (creeping,) = json.loads(capsys.readouterr().out)["creeping"]
    assert creeping["gate"] == "gates[0]"
    path.write_text(json.dumps({**suite, "gates": [step, {**step, "against": "baseline"}]}))
    assert plan_command(path, results=tmp_path / "r", limit=None, as_json=False) == 0
    assert "held against the last promoted version" not in capsys.readouterr().out
