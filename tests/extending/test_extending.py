"""One thing more touches two files: its own, and the table that names it.

A form, a metric, an engine, a section and a report format are put into a copy of the package, each as its own file and
one line of its table. Everything that a user calls then knows them.
"""

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
HERE = Path(__file__).parent
OWN_FILES = {
    "flip_rate.py": "forms/flip_rate.py",
    "starts_with.py": "metrics/starts_with.py",
    "parrot": "engines/parrot",
    "tally.py": "reports/sections/tally.py",
    "one_line.py": "reports/one_line.py",
}
ROWS = {
    "forms/__init__.py": (
        (
            "from harness.forms.increase",
            "from harness.forms.flip_rate import MAX_FLIP_RATE\nfrom harness.forms.increase",
        ),
        ("        MAX_DROP,\n", "        MAX_DROP,\n        MAX_FLIP_RATE,\n"),
    ),
    "metrics/table.py": (
        (
            "from harness.metrics.timing",
            "from harness.metrics.starts_with import STARTS_WITH\nfrom harness.metrics.timing",
        ),
        ("        *ANSWERS,\n", "        *ANSWERS,\n        STARTS_WITH,\n"),
    ),
    "engines/registry.py": (
        (
            '        EngineRow(\n            name="scripted",',
            '        EngineRow(\n            name="parrot", module="harness.engines.parrot.parrot_engine",\n'
            '            model="script",\n'
            '            packages=("numpy",), environment="parrot", keys=("script",), full_distribution=False,\n'
            '        ),\n        EngineRow(\n            name="scripted",',
        ),
    ),
    "reports/sections/__init__.py": (
        ("    slices,\n    tradeoff,", "    slices,\n    tally,\n    tradeoff,"),
        (
            "    Row(compared.section",
            '    Row(tally.section, {"html": 17, "markdown": 8, "junit": 2, "terminal": 6, "annotations": 3}),\n'
            "    Row(compared.section",
        ),
    ),
    "reports/formats.py": (
        (
            "from harness.records.verdict import Verdict\n",
            "from harness.records.verdict import Verdict\nfrom harness.reports.one_line import render\n",
        ),
        (
            '        Format(name="terminal"',
            '        Format(name="line", render=render, file="verdict.txt"),\n        Format(name="terminal"',
        ),
    ),
}
GATES = [
    {"task": "say", "metric": "starts_with", "max_flip_rate": "1%"},
    {"task": "say", "metric": "starts_with", "max_drop": 0.1},
    {"task": "read", "metric": "kl_mean", "max": 0.1, "severity": "warn"},
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package with all of them in it."""
    copy = tmp_path / "tree"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, copy / "harness", ignore=ignored)
    for own, place in OWN_FILES.items():
        if (HERE / own).is_dir():
            shutil.copytree(HERE / own, copy / "harness" / place, ignore=ignored)
        else:
            shutil.copy(HERE / own, copy / "harness" / place)
    for table, edits in ROWS.items():
        path = copy / "harness" / table
        text = path.read_text()
        for old, new in edits:
            assert text.count(old) == 1, (table, old)
            text = text.replace(old, new)
        path.write_text(text)
    return copy


def quantgate(tree: Path, *args: object) -> str:
    """What the copy's command prints; it ends with a verdict or 0."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "120"},
    )
    assert done.returncode in (0, 10, 11), done.stdout + done.stderr
    return done.stdout + done.stderr


def suite(folder: Path) -> Path:
    """A baseline and a candidate on the new engine, judged by the new form on the new metric."""
    rows = [
        {"id": f"q{n}", "question": f"Question {n}?", "options": ["yes", "no", "maybe"], "answer": n % 3}
        for n in range(90)
    ]
    texts = [{"id": f"d{n}", "text": f"Document {n}. " * 20} for n in range(24)]
    for name, data in (("items", rows), ("texts", texts)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in data))
    say = {
        "data": "items.jsonl",
        "prompt": "{{question}}",
        "answer": "{{options[answer]}}",
        "metric": "starts_with",
        "max_new_tokens": 4,
    }
    script = {"quantized_modules": 12, "noise": 0.02, "shift": 0.001}
    content = {
        "suite": "extended",
        "model": "none",
        "variants": {
            "full": {"engine": "parrot", "baseline": True, "script": {}},
            "small": {"engine": "parrot", "quantized": True, "script": script},
        },
        "tasks": {
            "say": {"generate": say, "id": "id"},
            "read": {"perplexity": {"data": "texts.jsonl", "window": 64}, "id": "id"},
        },
        "gates": GATES,
    }
    path = folder / "suite.yaml"
    path.write_text(json.dumps(content, indent=1))
    return path


@pytest.mark.slow
def test_one_thing_more_is_its_file_and_a_row(tree: Path, tmp_path: Path) -> None:
    """Schema, check, plan, a run with real workers, gate, explain, history, show and every report know each of them."""
    path, results, reports = suite(tmp_path), tmp_path / "results", tmp_path / "reports"
    schema = quantgate(tree, "schema")
    assert all(name in schema for name in ("max_flip_rate", "Largest share of items whose outcome changes", '"parrot"'))
    assert '"starts_with"' in schema
    assert "parrot" in quantgate(tree, "check", path)
    forecast = json.loads(quantgate(tree, "plan", path, "--json"))
    assert "flip rate ≤ 1 %" in json.dumps(forecast, ensure_ascii=False), forecast
    assert "flip rate" in quantgate(tree, "plan", path)
    printed = quantgate(tree, "run", path, "--results", results, "--reports", reports)
    assert "of the outcomes changed, limit 1.00 %" in printed
    judged = quantgate(tree, "gate", "--results", results, "--reports", reports)
    assert "Tally: 1 x " in judged
    verdict = json.loads(next(results.rglob("verdict.json")).read_text())
    first, _, divergence = verdict["candidates"][0]["findings"]
    assert (first["form"], first["metric"], first["n"]) == ("max_flip_rate", "starts_with", 90)
    assert 0 <= first["lower"] < first["value"] < first["upper"] < 0.2
    assert divergence["decision"] == "INCONCLUSIVE", "the new engine shows no whole distribution"
    explained = json.loads(quantgate(tree, "explain", "extended", "0", "--results", results, "--json"))
    assert "max_flip_rate" in json.dumps(explained)
    assert "PASS if U < limit" in quantgate(tree, "explain", "extended", "0", "--results", results)
    assert "starts_with" in quantgate(tree, "history", "extended", "--results", results)
    assert "starts_with" in quantgate(tree, "show", "extended", "--task", "say", "--results", results)
    folder = next(reports.rglob("report.html")).parent
    assert (folder / "verdict.txt").read_text().startswith("extended: ")
    for name in ("report.html", "report.md", "junit.xml"):
        text = (folder / name).read_text().replace("\\_", "_")
        assert "starts_with" in text, name
        assert "Tally: 1 x " in text, name
    assert "flip rate" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_a_wrong_limit_of_the_new_form_is_refused_with_its_place(tree: Path, tmp_path: Path) -> None:
    """The row's domain and words are in the message, and the form fits only the kinds that its row says."""
    path = suite(tmp_path)
    wrong = path.read_text().replace('"max_flip_rate": "1%"', '"max_flip_rate": 60')
    path.write_text(wrong)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "check", str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
    )
    assert done.returncode == 2
    assert "gates[0].max_flip_rate: expected a fraction from 0 to 1, got 60" in done.stderr
