"""Early FAIL through real worker processes: what stops, what never does, what is stored, and what is judged later."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.errors import RecordError
from harness.records.run_manifest import EarlyStop
from harness.records.store import Store

Write = Callable[..., Path]
BASE = {"engine": "scripted", "baseline": True, "script": {}}
ITEMS = 640
SAY = {"task": "say", "metric": "exact_match", "max_drop": 0.08}
SAY_TASK = {
    "generate": {
        "data": "data/choice.jsonl",
        "prompt": "{{question}}",
        "answer": "{{options[answer]}}",
        "max_new_tokens": 4,
    },
    "id": "id",
}
GATES = [
    {"task": "ask", "metric": "acc", "min": 0.1},
    SAY,
    {"task": "read", "metric": "perplexity", "max_increase": "5%"},
]
FASTER = {"metric": "decode_tokens_per_s", "min_ratio": 0.5}
SPEED = {"workloads": [{"batch": 1, "prompt_tokens": 8, "new_tokens": 4}], "pairs": 2}


def small(**script: object) -> dict[str, object]:
    return {"engine": "scripted", "quantized": True, "script": {"quantized_modules": 12, **script}}


TWO = {"full": BASE, "small": small(answer="wrong")}
"""The baseline is right by chance, on every third item; the candidate never is."""


def stop_of(run: harness.Run, variant: str = "small") -> EarlyStop | None:
    return run.manifest.variants[variant].stopped


def digest(results: Path, run: harness.Run, task: str) -> str:
    manifest = Store(results).evaluation(run.manifest.variants["small"].evaluations[task])
    assert manifest is not None
    return manifest.digest


def quantgate(*args: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_hopeless_variant_is_stopped(write_suite: Write, tmp_path: Path) -> None:
    """Its FAIL says after how many items; the rest of the suite and the timing are left out and said to be."""
    results, reports = tmp_path / "r", tmp_path / "reports"
    suite = write_suite(items=ITEMS, variants=TWO, gates=[*GATES, FASTER], speed=SPEED)
    done = quantgate("run", suite, "--stop-early", "--results", results, "--reports", reports)
    assert done.returncode == 10, done.stderr
    assert "small · say: stopped after 64 of 640 items, exact_match fell by" in done.stderr
    assert "small · ask" not in done.stderr
    assert "small · speed" not in done.stderr
    run = Store(results).find_run("latest")
    candidate = Store(results).verdict(run.suite, run.run).candidates[0]
    stop = run.variants["small"].stopped
    assert stop is not None
    assert (stop.task, stop.items, stop.planned, stop.gate) == ("say", 64, ITEMS, "gates[1]")
    assert stop.items < ITEMS / 4
    assert stop.wealth >= 20
    assert stop.saved_s is not None
    assert stop.saved_s > 0
    by_gate = {finding.gate: finding for finding in candidate.findings}
    failed = by_gate["gates[1]"]
    assert failed.decision == "FAIL"
    assert "after 64 of 640 items: the anytime-valid test rejects a drop of at most 8.00 pp" in failed.reason
    assert (failed.lower, failed.upper, failed.n) == (None, None, 64)
    others = [by_gate[name] for name in ("gates[0]", "gates[2]", "gates[3]")]
    assert {each.decision for each in others} == {"INCONCLUSIVE"}
    assert all(each.reason.startswith("not judged: stopped early at say after 64 of 640") for each in others)
    for page in reports.glob("scripted/*/*"):
        assert "the anytime-valid test rejects" in page.read_text(), page
    assert "the anytime-valid test rejects" in " ".join(done.stdout.split())


def test_a_later_run_goes_on_from_there(write_suite: Write, tmp_path: Path) -> None:
    """Stopped, then run to the end: the same records as without a stop, no item asked twice; the stopped run keeps its
    verdict although its evaluation is complete now."""
    suite, results = write_suite(items=ITEMS, variants=TWO, gates=GATES), tmp_path / "r"
    first = harness.run(suite, results=results, stop_early=True)
    stop = stop_of(first)
    assert stop is not None
    assert Store(results).evaluation(stop.evaluation) is None
    whole = harness.run(suite, results=results)
    assert whole.manifest.variants["small"].stopped is None
    calm = harness.run(suite, results=tmp_path / "calm")
    assert whole.manifest.variants["small"].evaluations["say"] == stop.evaluation
    assert digest(results, whole, "say") == digest(tmp_path / "calm", calm, "say")
    assert whole.verdict.candidates[0].findings == calm.verdict.candidates[0].findings
    again = harness.gate(first, results=results)
    assert again.candidates[0].model_dump() == first.verdict.candidates[0].model_dump()
    third = harness.run(suite, results=results, stop_early=True)
    assert stop_of(third) is None  # what is complete is judged as a whole


def test_stopped_again_without_a_worker(write_suite: Write, tmp_path: Path) -> None:
    """The same command finds the stop in the store: no model is loaded for it."""
    suite, results = write_suite(items=ITEMS, variants=TWO, gates=GATES), tmp_path / "r"
    first, second = (harness.run(suite, results=results, stop_early=True) for _ in range(2))
    assert not (Store(results).run_folder("scripted", second.manifest.run) / "logs").exists()
    one, other = stop_of(first), stop_of(second)
    assert one is not None
    assert other is not None
    assert one.model_copy(update={"saved_s": None}) == other.model_copy(update={"saved_s": None})
    assert second.manifest.variants["small"].facts == first.manifest.variants["small"].facts


def test_judged_again_under_other_limits(write_suite: Write, tmp_path: Path) -> None:
    """A wider limit than the items asked can refute is INCONCLUSIVE and says how to go on; never PASS."""
    results = tmp_path / "r"
    run = harness.run(write_suite(items=ITEMS, variants=TWO, gates=GATES), results=results, stop_early=True)
    verdicts = {}
    for limit in (0.05, 0.2, 0.5):
        suite = write_suite(items=ITEMS, variants=TWO, gates=[{**SAY, "max_drop": limit}])
        verdicts[limit] = harness.gate(run, suite=suite, results=results).candidates[0]
    assert [each.decision for each in verdicts.values()] == ["FAIL", "INCONCLUSIVE", "INCONCLUSIVE"]
    assert "run again without --stop-early" in verdicts[0.5].sentence
    none = write_suite(items=ITEMS, variants=TWO, gates=[{**SAY, "severity": "warn"}])
    left = harness.gate(run, suite=none, results=results).candidates[0]
    assert left.decision == "INCONCLUSIVE"
    assert left.sentence.startswith("stopped early at say after 64 of 640 items")


def test_a_wider_limit_goes_on(write_suite: Write, tmp_path: Path) -> None:
    """After a stop, a run with a limit that the variant may still hold asks the rest of the items."""
    results = tmp_path / "r"
    harness.run(write_suite(items=ITEMS, variants=TWO, gates=GATES), results=results, stop_early=True)
    wide = write_suite(items=ITEMS, variants=TWO, gates=[{**SAY, "max_drop": 0.6}])
    run = harness.run(wide, results=results, stop_early=True)
    assert stop_of(run) is None
    assert run.verdict.candidates[0].findings[0].n == ITEMS


@pytest.mark.parametrize(
    "gate",
    [
        {**SAY, "severity": "warn"},
        {"task": "say", "metric": "exact_match", "min": 0.9},
        {"task": "say", "metric": "exact_match", "min_recovery": 0.9},
        {**SAY, "slice": "topic=a"},
        {**SAY, "variants": ["other"]},
    ],
)
def test_what_never_stops(gate: dict[str, object], write_suite: Write, tmp_path: Path) -> None:
    """Warnings, levels, shares, slices and gates of other variants leave the run as it is."""
    variants = {**TWO, "other": small()}
    tasks = {"say": {**SAY_TASK, "slice_by": ["topic"]}}
    suite = write_suite(items=200, variants=variants, tasks=tasks, gates=[gate])
    run = harness.run(suite, results=tmp_path / "r", stop_early=True)
    assert stop_of(run) is None
    assert set(run.manifest.variants["small"].evaluations) == {"say"}


def test_one_block_has_nothing_to_stop(write_suite: Write, tmp_path: Path) -> None:
    """A task that is over with its first block, also by --limit, is judged as a whole; one without gates too."""
    suite, results = write_suite(items=ITEMS, variants=TWO, gates=GATES), tmp_path / "r"
    assert stop_of(harness.run(suite, results=results, stop_early=True, limit=127)) is None
    assert stop_of(harness.run(suite, results=results, stop_early=True, limit=128)) is not None
    assert stop_of(harness.run(suite, results=results, stop_early=True, tasks=("ask",))) is None


def test_answers_that_are_no_numbers_stop_it(write_suite: Write, tmp_path: Path) -> None:
    """NaN counts as wrong, so the limit breaks early; that every answer is one still makes it INVALID."""
    gates = [{"task": "ask", "metric": "acc", "max_drop": 0.02}]
    variants = {"full": BASE, "small": small(nan=True)}
    run = harness.run(write_suite(items=ITEMS, variants=variants, gates=gates), results=tmp_path / "r", stop_early=True)
    stop = stop_of(run)
    assert stop is not None
    assert stop.items == 64
    candidate = run.verdict.candidates[0]
    assert candidate.decision == "INVALID"
    assert "ask: 64 of 64 answers gave no finite acc" in candidate.sentence
    assert candidate.findings[0].decision == "FAIL"


def test_a_failing_baseline_stops_nobody(write_suite: Write, tmp_path: Path) -> None:
    """Against a baseline without scores there is no drop to bet on: all is asked, and INVALID."""
    variants = {"full": {**BASE, "script": {"nan": True}}, "small": small()}
    gates = [{"task": "ask", "metric": "acc", "max_drop": 0.02}]
    run = harness.run(write_suite(items=200, variants=variants, gates=gates), results=tmp_path / "r", stop_early=True)
    assert stop_of(run) is None
    assert run.verdict.decision == "INVALID"


def test_clusters_are_bet_on_whole(write_suite: Write, tmp_path: Path) -> None:
    """With `cluster_by`, no cluster is torn by a stop."""
    suite = write_suite(items=ITEMS, variants=TWO, tasks={"say": {**SAY_TASK, "cluster_by": "topic"}}, gates=[SAY])
    run = harness.run(suite, results=tmp_path / "r", stop_early=True)
    assert stop_of(run) is None or stop_of(run).items == ITEMS // 2  # type: ignore[union-attr]


@pytest.mark.parametrize("delay", [0.5, 1.0, 1.6])
def test_killed_and_resumed(write_suite: Write, tmp_path: Path, delay: float) -> None:
    """kill -9 anywhere in a run that will stop: the same command stops at the same place with the same records."""
    variants = {"full": BASE, "small": small(answer="wrong", delay=0.2)}
    suite, results = write_suite(items=ITEMS, variants=variants, gates=GATES), tmp_path / "r"
    calm = stop_of(harness.run(suite, results=tmp_path / "calm", stop_early=True))
    command = [sys.executable, "-m", "harness", "run", str(suite), "--stop-early", "--results", str(results)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    driver.kill()
    driver.wait()
    again = stop_of(harness.run(suite, results=results, stop_early=True))
    assert calm is not None
    assert again is not None
    assert again.model_copy(update={"saved_s": None}) == calm.model_copy(update={"saved_s": None})


def test_records_beyond_the_stop_change_nothing(write_suite: Write, tmp_path: Path) -> None:
    """A run without --stop-early that was killed further on: the stop is found where it would have been."""
    suite, results = write_suite(items=ITEMS, variants=TWO, gates=[SAY], tasks={"say": SAY_TASK}), tmp_path / "r"
    whole = harness.run(suite, results=results)
    folder = Store(results).evaluation_folder(whole.manifest.variants["small"].evaluations["say"])
    (folder / "manifest.json").unlink()
    kept = (folder / "chunks.jsonl").read_bytes().splitlines(keepends=True)[:5]
    (folder / "chunks.jsonl").write_bytes(b"".join(kept))
    run = harness.run(suite, results=results, stop_early=True)
    stop = stop_of(run)
    assert stop is not None
    assert stop.items == 64
    assert run.verdict.decision == "FAIL"
    assert (folder / "chunks.jsonl").read_bytes() == b"".join(kept)


def test_damaged_answers_of_a_stop_are_named(write_suite: Write, tmp_path: Path) -> None:
    """The records at a stop are held to their digest."""
    results = tmp_path / "r"
    run = harness.run(write_suite(items=ITEMS, variants=TWO, gates=GATES), results=results, stop_early=True)
    stop = stop_of(run)
    assert stop is not None
    place = Store(results).evaluation_folder(stop.evaluation) / "chunks.jsonl"
    whole = place.read_bytes()
    place.write_bytes(whole.replace(b'"wrong"', b'"right"', 1))
    with pytest.raises(RecordError, match="do not match their checksum"):
        harness.gate(run, results=results)
    place.write_bytes(b"")
    with pytest.raises(RecordError, match="holds 0 chunks, the run was stopped after"):
        harness.gate(run, results=results)
