"""Attempts: what `--fresh` computes stands beside what was there, and is what later runs use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.errors import RecordError
from harness.records.evaluation_manifest import evaluation_key
from harness.records.run_manifest import VariantRun
from harness.records.store import Store
from harness.runner.evaluation_keys import is_of_earlier_version

Write = Callable[..., Path]
SPEED = {"workloads": [{"batch": 1, "prompt_tokens": 4, "new_tokens": 3}], "pairs": 3}


def pointers(variant: VariantRun) -> set[str | None]:
    return {*variant.evaluations.values(), *variant.second_pass.values(), variant.speed} - {None}


@pytest.mark.fault("M36", "a fresh run of a suite whose variants share an evaluation", "computed once, used by both")
def test_a_fresh_run_computes_all_of_it_once_and_later_runs_use_it(write_suite: Write, tmp_path: Path) -> None:
    """Evaluations, second passes and timings. What the first run points at is there as it was."""
    twin = {"engine": "scripted", "quantized": False, "script": {}}
    variants = {"full": {**twin, "baseline": True}, "twin": twin}
    path, results = write_suite(items=40, variants=variants, speed=SPEED), tmp_path / "r"
    store = Store(results)
    first = harness.run(path, results=results).manifest.variants
    before = {key: store.evaluation(key) for name in first for key in first[name].evaluations.values()}
    timed = store.speed(str(first["twin"].speed))
    fresh = harness.run(path, results=results, fresh=True).manifest.variants
    assert fresh["full"].evaluations["ask"] == fresh["twin"].evaluations["ask"]
    for name in first:
        assert not pointers(first[name]) & pointers(fresh[name])
    assert {key: store.evaluation(key) for key in before} == before
    assert store.speed(str(first["twin"].speed)) == timed
    later = harness.run(path, results=results).manifest.variants
    for name in later:
        assert pointers(later[name]) == pointers(fresh[name])


def test_a_fresh_run_gets_past_a_damaged_record(write_suite: Write, tmp_path: Path) -> None:
    """A damaged evaluation stops a run by name; a fresh one is made beside it and used from then on."""
    path, results = write_suite(items=40), tmp_path / "r"
    store = Store(results)
    first = harness.run(path, results=results).manifest
    key = first.variants["small"].evaluations["say"]
    chunks = store.evaluation_folder(key) / "chunks.jsonl"
    chunks.write_bytes(chunks.read_bytes()[:-10].replace(b"1", b"2"))
    with pytest.raises(RecordError, match="chunks"):
        harness.gate(first.run, results=results)
    fresh = harness.run(path, results=results, fresh=True)
    later = harness.run(path, results=results)
    assert later.manifest.variants["small"].evaluations == fresh.manifest.variants["small"].evaluations


def test_results_of_an_earlier_version_are_told_from_ours(write_suite: Write, tmp_path: Path) -> None:
    """By the identity of what the newest run points at. A folder without runs has none."""
    results = tmp_path / "r"
    store = Store(results)
    assert not is_of_earlier_version(store, "scripted")
    run = harness.run(write_suite(items=40), results=results).manifest
    assert not is_of_earlier_version(store, "scripted")
    full = run.variants["full"]
    evaluation = store.evaluation(full.evaluations["ask"])
    assert evaluation is not None
    old = evaluation.identity.model_copy(update={"schema_version": 1})
    store.complete(evaluation.model_copy(update={"identity": old, "key": evaluation_key(old)}))
    full = full.model_copy(update={"evaluations": {"ask": evaluation_key(old)}})
    store.save_run(run.model_copy(update={"run": "20991231-000000-0000", "variants": {"full": full}}))
    assert is_of_earlier_version(store, "scripted")


def as_of_before(store: Store, key: str) -> None:
    """The evaluation as a version stored it that knew neither EAR nor the Δp of every token."""
    manifest, chunks = store.evaluation(key), store.chunks(key)
    assert manifest is not None
    stored = chunks.load()
    chunks.path.unlink()
    (store.evaluation_folder(key) / "manifest.json").unlink()
    earlier = store.chunks(key)
    for records in stored:
        documents = [record.document for record in records if record.document is not None]
        kept = [document.model_copy(update=dict.fromkeys(("ear", "delta_p_values", "tops"))) for document in documents]
        earlier.append([
            record.model_copy(update={"document": document}) for record, document in zip(records, kept, strict=True)
        ])  # fmt: skip
    store.complete(manifest.model_copy(update={"digest": earlier.digest()}))


@pytest.mark.parametrize("gate", [{"metric": "ear_mean", "min": 0.5}, {"metric": "delta_p_p1", "min": -0.5}])
def test_what_an_earlier_version_did_not_keep_is_computed_when_a_gate_asks(
    write_suite: Write, tmp_path: Path, gate: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without such a gate the old evaluation is used as it is. With one, judging again says what to do; running does
    it once, for that task alone, and what is computed stands beside what was there."""
    rise = {"task": "read", "metric": "perplexity", "max_increase": "5%"}
    path, results = write_suite(items=40, gates=[rise]), tmp_path / "r"
    store = Store(results)
    before = harness.run(path, results=results).manifest
    key = before.variants["small"].evaluations["read"]
    as_of_before(store, key)
    assert harness.run(path, results=results).manifest.variants["small"].evaluations["read"] == key
    write_suite(items=40, gates=[rise, {"task": "read", **gate}])
    finding = harness.gate(before.run, suite=path, results=results).candidates[0].findings[1]
    assert finding.decision == "INCONCLUSIVE"
    assert "run the suite again" in finding.reason
    after = harness.run(path, results=results)
    assert after.verdict.candidates[0].findings[1].decision == "PASS"
    evaluations = after.manifest.variants["small"].evaluations
    assert evaluations["read"] != key
    assert {**evaluations, "read": key} == before.variants["small"].evaluations
    assert after.manifest.variants["full"].evaluations == before.variants["full"].evaluations
    assert store.evaluation(key) is not None
    assert harness.run(path, results=results).manifest.variants["small"].evaluations == evaluations
    write_suite(items=40, gates=[rise])
    assert harness.run(path, results=results).manifest.variants["small"].evaluations == evaluations
