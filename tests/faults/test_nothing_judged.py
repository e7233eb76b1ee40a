"""Nothing judged, nothing decided, nothing to lose: through the command line, on the scripted engine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.records.store import Store
from harness.records.verdict import Verdict

ITEMS = 400
OPTIONS = ("north", "south", "other")


@dataclass(frozen=True, kw_only=True)
class Done:
    """One command, and the verdict it stored."""

    code: int
    said: str
    verdict: Verdict


def write(folder: Path, answers: list[int], gates: list[dict[str, object]], **script: object) -> Path:
    rows = [{"id": f"q{n}", "q": f"Question {n}?", "a": OPTIONS[each]} for n, each in enumerate(answers)]
    (folder / "ask.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"choice": {"data": "ask.jsonl", "prompt": "{{q}}", "choices": OPTIONS, "answer": "{{a}}"}, "id": "id"}
    variants = {
        "full": {"engine": "scripted", "baseline": True, "script": {}},
        "small": {"engine": "scripted", "quantized": True, "script": {"quantized_modules": 12, **script}},
    }
    suite = {"suite": "s", "model": "none", "variants": variants, "tasks": {"ask": task}, "gates": gates}
    path = folder / "suite.yaml"
    path.write_text(json.dumps(suite))
    return path


def quantgate(suite: Path, *options: str) -> Done:
    results = suite.parent / "results"
    command = [sys.executable, "-m", "harness", "run", str(suite), "--results", str(results), *options]
    command += ["--reports", str(suite.parent / "reports")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    run = Store(results).find_run("latest")
    return Done(code=done.returncode, said=done.stdout + done.stderr, verdict=Store(results).verdict("s", run.run))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """References of which the scripted baseline knows seven of eight: its own answers, one in eight another."""
    suite = write(tmp_path_factory.mktemp("first"), [n % 3 for n in range(ITEMS)], [])
    done = quantgate(suite, "--report-only")
    assert done.code == 0, done.said
    store = Store(suite.parent / "results")
    run = store.find_run("latest")
    found = {}
    for record in store.items(run.variants["full"].evaluations["ask"]):
        totals = [each.log_likelihood or 0.0 for each in record.options]
        found[record.item] = totals.index(max(totals))
    assert len(found) == ITEMS
    return [(found[f"q{n}"] + (n % 8 == 0)) % 3 for n in range(ITEMS)]


@pytest.mark.fault("F32", "a suite without gates, run to its end", "exit 11, and what to do; --report-only ends with 0")
def test_without_gates_nothing_is_decided(tmp_path: Path, sound: list[int]) -> None:
    """11 with the advice; with --report-only 0, and every report says that no verdict was asked for."""
    suite = write(tmp_path, sound, [], noise=0.5)
    done = quantgate(suite)
    assert (done.code, done.verdict.decision) == (11, "INCONCLUSIVE")
    assert "no blocking limit judged anything" in done.said
    assert "--report-only" in done.said
    done = quantgate(suite, "--report-only")
    assert (done.code, done.verdict.report_only) == (0, True)
    folder = tmp_path / "reports" / "s" / done.verdict.run
    for name in ("report.html", "report.md"):
        page = (folder / name).read_text()
        assert "REPORT ONLY" in page
        assert "No verdict was asked for" in page
    assert "<failure" not in (folder / "junit.xml").read_text()


@pytest.mark.fault("T19", "a candidate that finds all options equally likely", "1/3, named, and FAIL")
def test_who_has_no_opinion_fails(tmp_path: Path, sound: list[int]) -> None:
    """acc is one over the options on every item, in the stored records too; the ties are named."""
    suite = write(tmp_path, sound, [{"task": "ask", "metric": "acc", "max_drop": 0.05}], equal=True)
    done = quantgate(suite)
    candidate = done.verdict.candidates[0]
    assert done.code == 10
    assert candidate.measures[0].candidate == pytest.approx(1 / 3)
    assert f"{ITEMS} of {ITEMS} (acc)" in done.said.replace("\n", " ")


@pytest.mark.fault("T20", "a baseline that guesses, and its equal", "INVALID: nothing to lose")
def test_a_guessing_baseline_judges_nobody(tmp_path: Path) -> None:
    """References that the scripted engine cannot know: at chance or a little above, there is no PASS."""
    gates: list[dict[str, object]] = [{"task": "ask", "metric": "acc", "max_drop": 0.2}]
    done = quantgate(write(tmp_path, [n % 3 for n in range(ITEMS)], gates))
    assert done.code == 12
    assert done.verdict.candidates[0].findings[0].code in ("at_chance", "blind_limit")


def test_a_sound_run_passes(tmp_path: Path, sound: list[int]) -> None:
    """Nearly the same answers to 400 items hold 2 pp."""
    done = quantgate(write(tmp_path, sound, [{"task": "ask", "metric": "acc", "max_drop": 0.02}], noise=0.005))
    assert (done.code, done.verdict.decision) == (0, "PASS"), done.said
