"""The baseline against itself, through real worker processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import harness
from harness.records.store import Store

Write = Callable[..., Path]
SPEED = {"workloads": [{"batch": 1, "prompt_tokens": 4, "new_tokens": 3}], "pairs": 10}


def full(**script: object) -> dict[str, object]:
    return {
        "full": {"engine": "scripted", "baseline": True, "script": script},
        "small": {"engine": "scripted", "quantized": True, "script": {"quantized_modules": 12, "noise": 0.05}},
    }


def test_a_steady_baseline_has_no_noise_and_is_asked_twice_once(write_suite: Write, tmp_path: Path) -> None:
    """No flip; the second pass is stored under its own batching and reused by the next run; its states are gone."""
    results = tmp_path / "r"
    run = harness.run(write_suite(speed=SPEED), results=results)
    noise = run.verdict.noise
    assert noise is not None
    assert noise.note is None
    found = {(each.task, each.metric): each for each in noise.measures}
    assert (found["ask", "acc"].flips, found["ask", "acc"].n, found["say", "exact_match"].flips) == (0, 22, 0)
    assert found["read", "perplexity"].value == 0
    assert 0 < found["read", "kl_mean"].value < 1e-5
    assert noise.likelihoods["ask"] == 0
    assert {each.metric for each in noise.speed} >= {"decode_tokens_per_s", "ttft_s"}
    assert all(each.pairs == 4 and each.spread > 0 for each in noise.speed)
    store, baseline = Store(results), run.manifest.variants["full"]
    for task, key in baseline.second_pass.items():
        manifest = store.evaluation(key)
        assert manifest is not None
        assert manifest.identity.batching.startswith("second-pass")
        assert key != baseline.evaluations[task]
        assert not (store.evaluation_folder(key) / "states").exists()
    assert run.manifest.variants["small"].second_pass == {}
    later = harness.run(write_suite(speed=SPEED), results=results)
    assert later.manifest.variants["full"].second_pass == baseline.second_pass
    assert not (store.run_folder("scripted", later.manifest.run) / "logs").exists()


def test_flips_of_an_unsteady_baseline_are_counted(write_suite: Write, tmp_path: Path) -> None:
    """Item by item as the stored records have it; a gate below their share is named and decides as before."""
    results = tmp_path / "r"
    gates = [
        {"task": "ask", "metric": "acc", "max_drop": 0.01},
        {"task": "ask", "metric": "acc", "max_drop": 0.9},
    ]
    suite = write_suite(variants=full(unsteady=0.4), gates=gates, noise_floor={"items": 60, "documents": 1})
    run = harness.run(suite, results=results)
    assert run.verdict.noise is not None
    store, baseline = Store(results), run.manifest.variants["full"]
    first = {each.item: each.metrics["acc"] for each in store.items(baseline.evaluations["ask"])}
    second = {each.item: each.metrics["acc"] for each in store.items(baseline.second_pass["ask"])}
    flips = sum(first[item] != outcome for item, outcome in second.items())
    measure = run.verdict.noise.measures[0]
    assert (measure.n, measure.flips, measure.value) == (60, flips, flips / 60)
    assert flips > 0
    assert measure.upper is not None
    assert measure.upper > measure.value
    assert run.verdict.noise.likelihoods["ask"] > 0
    notes = [check for check in run.verdict.baseline_checks if check.name == "noise floor"]
    assert [(check.held, check.blocks) for check in notes] == [(False, False)]
    assert notes[0].says == (
        f"gates[0] ask acc: the limit of 1.00 pp is tighter than the baseline's own noise, {flips} of 60 answers flip "
        "between two passes"
    )
    quiet = harness.run(write_suite(variants=full(unsteady=0.4), gates=gates, noise_floor=False), results=results)
    assert quiet.verdict.candidates[0].findings == run.verdict.candidates[0].findings


def test_none_where_the_suite_wants_none(write_suite: Write, tmp_path: Path) -> None:
    """`noise_floor: false` asks nothing twice."""
    run = harness.run(write_suite(noise_floor=False), results=tmp_path / "r")
    assert run.manifest.variants["full"].second_pass == {}
    assert run.verdict.noise is None
    assert not [check for check in run.verdict.baseline_checks if check.name == "noise floor"]


def test_a_second_pass_that_fails_stops_no_run(write_suite: Write, tmp_path: Path) -> None:
    """States deleted by hand: the run goes on, keeps what it has and says what is missing and why."""
    results = tmp_path / "r"
    first = harness.run(write_suite(noise_floor=False), results=results)
    for path in (results / "evaluations" / first.manifest.variants["full"].evaluations["read"] / "states").iterdir():
        path.unlink()
    run = harness.run(write_suite(), results=results)
    assert run.manifest.variants["full"].second_pass.keys() == {"ask", "say"}
    failure = run.manifest.variants["full"].second_pass_failure
    assert failure is not None
    assert "the baseline's stored states cannot be read" in failure
    assert run.verdict.noise is not None
    assert run.verdict.noise.note == f"the second pass could not be finished: {failure}"
    assert any(check.says == run.verdict.noise.note and not check.blocks for check in run.verdict.baseline_checks)
    assert run.verdict.decision == first.verdict.decision
