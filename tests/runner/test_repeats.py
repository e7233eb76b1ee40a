"""Several answers to each item through whole runs of the scripted engine: judged, resumed, stopped, explained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.commands.plan import forecast
from harness.errors import SuiteError
from harness.forecast.certify import Certificate, designed
from harness.forecast.past_runs import history
from harness.records.findings import Finding
from harness.records.store import Store
from harness.suite.load import load_suite
from tests.runner.conftest import Write

SAY: dict[str, Any] = {
    "data": "data/choice.jsonl",
    "prompt": "{{question}}",
    "answer": "{{options[answer]}}",
    "max_new_tokens": 4,
    "repeats": 4,
    "sampling": {"temperature": 0.8},
    "metric": ["exact_match", "pass@2", "maj@3"],
}


def variants(**script: object) -> dict[str, object]:
    small = {"engine": "scripted", "quantized": True, "script": {"quantized_modules": 12, **script}}
    return {"full": {"engine": "scripted", "baseline": True, "script": {}}, "small": small}


def gate(metric: str = "exact_match", **limit: object) -> dict[str, object]:
    return {"task": "say", "metric": metric, **limit}


def tasks(**changes: object) -> dict[str, object]:
    return {"say": {"generate": {**SAY, **changes}, "id": "id"}}


def findings(run: harness.Run) -> tuple[Finding, ...]:
    return run.verdict.candidates[0].findings


def test_means_over_answers_are_judged_item_by_item(write_suite: Write, tmp_path: Path) -> None:
    """200 items with four answers are 200 units: graded, with pass@2 and maj@3 beside the mean, and flips of items
    whose majority changed, each with how many of its answers are right."""
    path = write_suite(
        items=200,
        variants=variants(noise=0.3),
        tasks=tasks(),
        gates=[gate(max_drop=0.2), gate("pass@2", max_drop=0.2), gate("maj@3", max_drop=0.2)],
    )
    run = harness.run(path, results=tmp_path / "results")
    measures = {each.metric: each for each in run.verdict.candidates[0].measures}
    assert {name: (measures[name].n, measures[name].kind) for name in ("exact_match", "pass@2", "maj@3")} == {
        "exact_match": (200, "graded"), "pass@2": (200, "graded"), "maj@3": (200, "binary"),
    }  # fmt: skip
    level = measures["exact_match"].baseline
    assert level == pytest.approx(1 / 3, abs=0.08)
    assert [each.decision for each in findings(run)] == ["PASS"] * 3
    flips = run.verdict.candidates[0].flips
    assert flips
    assert {each.metric for each in flips} == {"exact_match"}
    assert all(" of 4 right] " in each.baseline_answer for each in flips)
    worse = next(each for each in flips if each.direction == "right_to_wrong")
    assert worse.baseline_answer.endswith(worse.expected)
    records = Store(tmp_path / "results").items(run.manifest.variants["full"].evaluations["say"])
    assert {len(each.answers) for each in records} == {4}
    (explained,) = harness.explain(run, "gates[0]", results=tmp_path / "results")
    assert explained.flips


def test_a_limit_of_the_baselines_own_noise(write_suite: Write, tmp_path: Path) -> None:
    """The limit is what one run loses against another in one of twenty, by the spread of its own answers, and never
    more than its cap; both are said in points."""
    path = write_suite(
        variants=variants(),
        tasks=tasks(),
        gates=[gate(max_drop="noise", at_most=0.2), gate(max_drop="noise"), gate(max_drop=0.05)],
    )
    results = tmp_path / "results"
    run = harness.run(path, results=results)
    measured, capped, plain = findings(run)
    shares = [
        sum(each.score or 0.0 for each in record.answers) / 4
        for record in Store(results).items(run.manifest.variants["full"].evaluations["say"])
    ]
    variance = sum(share * (1 - share) * 4 / 3 for share in shares) / 90
    assert measured.limit == pytest.approx(1.6448536 * (2 * variance / 90) ** 0.5)
    assert 0.05 < measured.limit < 0.2
    assert "the limit is the baseline's own noise: one run over 90 items loses" in measured.reason
    assert measured.decision == "PASS"  # the same answers, and the limit is wide
    assert capped.limit == 0.05
    assert "more than the 5.00 pp of at_most, which counts" in capped.reason
    assert (capped.decision, capped.upper) == (plain.decision, plain.upper)


def test_a_noise_that_is_not_there_is_no_limit(write_suite: Write, tmp_path: Path) -> None:
    """Greedy answers that the second pass repeats exactly: nothing passes, and what is worse than the cap fails."""
    greedy = tasks(repeats=1, sampling=None, metric="exact_match")
    path = write_suite(variants=variants(), tasks=greedy, gates=[gate(max_drop="noise")])
    (finding,) = findings(harness.run(path, results=tmp_path / "results"))
    assert finding.decision == "INCONCLUSIVE"
    assert "gives every item the same score again, so its noise is no limit" in finding.reason
    path = write_suite(variants=variants(answer="never"), tasks=greedy, gates=[gate(max_drop="noise")])
    (finding,) = findings(harness.run(path, results=tmp_path / "results"))
    assert finding.decision == "FAIL"
    shaky = {
        "full": {"engine": "scripted", "baseline": True, "script": {"unsteady": 0.3}},
        "small": variants()["small"],
    }
    path = write_suite(items=400, variants=shaky, tasks=greedy, gates=[gate(max_drop="noise", at_most=0.5)])
    (finding,) = findings(harness.run(path, results=tmp_path / "results"))
    assert "from its second pass over 64 items" in finding.reason
    assert 0 < finding.limit < 0.1


def test_answers_that_are_not_drawn_are_invalid(write_suite: Write, tmp_path: Path) -> None:
    """A variant that gives the same answer to every repeat, where the baseline's differ: its server does not draw."""
    path = write_suite(variants=variants(answer=" yes"), tasks=tasks(), gates=[gate(max_drop=0.5)])
    (candidate,) = harness.run(path, results=tmp_path / "results").verdict.candidates
    assert candidate.decision == "INVALID"
    (check,) = [each for each in candidate.checks if each.name == "answers drawn"]
    assert "its several answers to an item are the same on all 90 items" in check.says


def test_a_run_is_resumed_and_stopped_early(write_suite: Write, tmp_path: Path) -> None:
    """Half of the chunks are computed again alike; a variant that is never right is stopped, whatever the noise is."""
    path = write_suite(
        items=300, variants=variants(answer="never"), tasks=tasks(), gates=[gate(max_drop="noise"), gate(max_drop=0.02)]
    )
    store = Store(tmp_path / "results")
    run = harness.run(path, results=store.root, stop_early=True)
    assert run.verdict.candidates[0].stopped is not None
    assert {each.decision for each in findings(run)} == {"FAIL"}
    key = run.manifest.variants["full"].evaluations["say"]
    whole = tuple(store.items(key))
    place = store.evaluation_folder(key)
    (place / "manifest.json").unlink()
    lines = (place / "chunks.jsonl").read_bytes().splitlines(keepends=True)
    (place / "chunks.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    harness.run(path, results=store.root, stop_early=True)
    assert tuple(store.items(key)) == whole


def test_the_model_before_fine_tuning_is_asked_as_often(write_suite: Write, tmp_path: Path) -> None:
    """The share of a gain that is kept is judged item by item over means, with base and candidate drawn alike; the
    second pass repeats the draws."""
    path = write_suite(
        items=200,
        base={"path": "before", "script": {"answer": "never"}},
        variants=variants(noise=0.2),
        tasks=tasks(),
        gates=[gate(min_retained=0.5), gate("pass@2", min_retained=0.5)],
    )
    run = harness.run(path, results=tmp_path / "results")
    mean, either = findings(run)
    assert (mean.n, mean.decision) == (200, "PASS")
    assert mean.value == pytest.approx(1.0, abs=0.3)
    assert either.decision == "PASS"
    assert run.verdict.noise is not None
    assert {each.value for each in run.verdict.noise.measures if each.metric == "exact_match"} == {0.0}


def test_a_plan_weighs_answers_against_items(write_suite: Write, tmp_path: Path) -> None:
    """Unknown before the first run. From a run with four answers the error of sixteen is foretold within a tenth, and
    the plan says what more answers and what more items would certify."""
    results = tmp_path / "results"
    asked: dict[str, Any] = {"items": 200, "variants": variants(noise=0.5), "gates": [gate(max_drop="noise")]}
    path = write_suite(tasks=tasks(), **asked)
    before = forecast(load_suite(path), results, None)
    assert [(each.certifies, each.limit) for each in before.gates] == [(None, "drop: noise, at most 5 pp")]
    assert before.answers == ()
    harness.run(path, results=results)
    ((place, says),) = forecast(load_suite(path), results, None).answers
    assert place == "gates[0]"
    assert "200 items with 4 answers each certify" in says
    four, eight, twice, one = (float(each) for each in re.findall(r"([0-9.]+) pp", says))
    assert max(eight, twice) < four < one
    path = write_suite(tasks=tasks(repeats=16), **asked)
    ((row,), seen) = planned(path, results)
    run = harness.run(path, results=results)
    (measure,) = [each for each in run.verdict.candidates[0].measures if each.metric == "exact_match"]
    assert measure.spread is not None
    assert measure.spread.answers == 16
    assert seen == pytest.approx(measure.spread.error, rel=0.1)
    assert row.count == 200


def planned(path: Path, results: Path) -> tuple[tuple[Certificate, ...], float]:
    """The plan's rows, and the error that it expects of the first gate."""
    loaded = load_suite(path)
    found = forecast(loaded, results, None)
    seen = history(Store(results), loaded.suite, host="")
    (plan,) = found.plans
    design = designed(loaded.suite.gates[0], loaded.suite, "say", plan.items, seen, answers=16)
    assert design.seen is not None
    return found.gates, design.seen.error


@pytest.mark.parametrize(
    ("changes", "asked", "expected"),
    [
        ({}, gate("pass@2", max_drop="noise"), "is measured of the mean over answers, not of pass@2"),
        ({"repeats": 1, "metric": "exact_match"}, gate(max_drop="noise"), "one sampled answer an item shows no noise"),
        ({"metric": ["exact_match", "contains"]}, gate("contains", max_drop="noise"), "first metric, exact_match"),
        ({}, gate(max_drop="noise", slice="each"), "is measured on a whole task; write a number for a slice"),
        ({}, gate(max_drop="noise", against="reference"), "leave against out"),
        ({}, gate(max_drop=0.1, at_most=0.1), "at_most goes with a limit that is measured"),
        ({}, gate(max_drop="noisy"), "expected a fraction from 0 to 1, or noise, got 'noisy'"),
        ({}, gate(max_drop="noise", at_most=2.0), "at_most: expected a number below 1"),
    ],
)
def test_limits_that_no_run_can_measure_are_refused(
    write_suite: Write, changes: dict[str, object], asked: dict[str, object], expected: str
) -> None:
    """Before anything runs, each with its place and what to write instead; one problem, not one for each reading."""
    with pytest.raises(SuiteError) as caught:
        load_suite(write_suite(tasks=tasks(**changes), gates=[asked]))
    assert expected in str(caught.value)
    assert len(caught.value.problems) == 1
