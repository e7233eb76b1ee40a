"""Slices that cannot be judged: gone since an earlier run, too long to be asked, or failed on every item."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.comparison import compare_run
from harness.gates import judge
from harness.records.findings import Finding
from harness.records.items import DocumentScore, ItemRecord
from harness.records.run_manifest import RunManifest
from harness.records.verdict import CandidateVerdict, Verdict
from harness.suite.models import Suite
from tests.gates.handmade import HOST, NOW, Bench, answers, facts, items

EACH = [{"task": "t", "metric": "acc", "max_drop": 0.02, "slice": "each"}]


def bench(root: Path, topics: Sequence[str], *, too_long: str = "", plan: str = "plan-t") -> Bench:
    """150 items a topic, all answered right by both; those of topics in `too_long` do not fit."""
    made = Bench(root)
    names = [topic for topic in topics for _ in range(150)]
    planned = [
        each.model_copy(
            update={"slices": {"topic": topic} if topic else {}, "too_long": "long" if topic in too_long else None}
        )
        for each, topic in zip(items(len(names)), names, strict=True)
    ]
    made.plan("t", planned)
    made.store.save_plan(plan, planned)
    made.tasks["t"] = made.tasks["t"].model_copy(update={"plan": plan})
    for name in ("fp32", "q"):
        made.evaluation(name, "t", answers([1.0] * len(names)))
        made.variant(name, ["t"], facts=facts(weights_digest=name))
    return made


def stored(made: Bench, run: str, **changes: object) -> RunManifest:
    manifest = RunManifest(
        run=run, suite="s", suite_file="s.yaml", suite_hash="", suite_text="", baseline="fp32",
        variants=made.variants, tasks=made.tasks, host=HOST, quantgate="0", started_at=NOW, elapsed_s=1.0,
    )  # fmt: skip
    manifest = manifest.model_copy(update=changes)
    made.store.save_run(manifest)
    return manifest


def judged(made: Bench, run: RunManifest, gates: list[dict[str, object]]) -> Verdict:
    task = {"choice": {"data": "d", "prompt": "p", "choices": ["a", "b"], "answer": "a"}, "slice_by": ["topic"]}
    suite = {"suite": "s", "model": "m", "variants": {"fp32": {"baseline": True}, "q": {}}, "tasks": {"t": task}}
    return judge(Suite.model_validate({**suite, "gates": gates}), compare_run(made.store, run), judged_at=NOW)


def by_slice(candidate: CandidateVerdict) -> dict[str | None, Finding]:
    return {finding.slice: finding for finding in candidate.findings}


def earlier_then(root: Path, before: Sequence[str], now: Sequence[str], **changes: object) -> tuple[Bench, RunManifest]:
    """A stored run with one set of topics, and a later one with another."""
    stored(bench(root, before, plan="plan-1"), "r1")
    made = bench(root, now, plan="plan-2")
    return made, stored(made, "r2", **changes)


def test_a_slice_that_disappeared_is_invalid_where_a_gate_looks_at_it(tmp_path: Path) -> None:
    """`each` and a gate that names it; the other slices are judged as ever."""
    made, run = earlier_then(tmp_path, "abc", "ab")
    found = by_slice(judged(made, run, EACH).candidates[0])
    assert {name: finding.decision for name, finding in found.items()} == {
        "topic=a": "PASS", "topic=b": "PASS", "topic=c": "INVALID",
    }  # fmt: skip
    assert "though run r1 had some" in found["topic=c"].reason
    named = judged(made, run, [{**EACH[0], "slice": "topic=c"}]).candidates[0].findings
    assert [(each.decision, "run r1 had some" in each.reason) for each in named] == [("INVALID", True)]


def test_a_slice_that_disappeared_is_a_note_where_no_gate_looks_at_it(tmp_path: Path) -> None:
    """The baseline's checks name it; the verdict stays."""
    made, run = earlier_then(tmp_path, "abc", "ab")
    verdict = judged(made, run, [{"task": "t", "metric": "acc", "max_drop": 0.02}])
    (check,) = [each for each in verdict.baseline_checks if each.name == "slices kept"]
    assert (verdict.decision, check.held, check.blocks) == ("PASS", False, False)
    assert check.says == "t: no item is left in topic=c, which run r1 had"


def test_running_again_does_not_make_it_acceptable_and_promoting_does(tmp_path: Path) -> None:
    """The newest run with other items counts, not the one before with the same hole; a promoted run ends it."""
    made, _ = earlier_then(tmp_path, "abc", "ab")
    again = stored(made, "r3")
    assert by_slice(judged(made, again, EACH).candidates[0])["topic=c"].decision == "INVALID"
    promoted = stored(made, "r4", reference="r2", reference_variant="q")
    assert "topic=c" not in by_slice(judged(made, promoted, EACH).candidates[0])


def test_the_promoted_run_comes_before_the_last_one(tmp_path: Path) -> None:
    """What the promoted version was judged by is what counts, however many runs lie between."""
    made, run = earlier_then(tmp_path, "abc", "ab", reference="r1", reference_variant="q")
    assert by_slice(judged(made, run, EACH).candidates[0])["topic=c"].decision == "INVALID"


def test_a_part_of_a_run_is_held_to_nothing(tmp_path: Path) -> None:
    """--limit leaves slices out by itself, before and now."""
    made, run = earlier_then(tmp_path / "now", "abc", "ab", partial=True)
    assert "topic=c" not in by_slice(judged(made, run, EACH).candidates[0])


def test_an_earlier_plan_that_is_gone_is_said(tmp_path: Path) -> None:
    """Not knowing is a note with the reason."""
    made, run = earlier_then(tmp_path, "abc", "ab")
    (tmp_path / "plans" / "plan-1.jsonl").unlink()
    (check,) = [each for each in judged(made, run, EACH).baseline_checks if each.name == "slices kept"]
    assert "whether a slice of run r1 is gone is not known" in check.says


def test_a_slice_that_is_all_too_long_is_invalid(tmp_path: Path) -> None:
    """Nobody was asked an item of it; `each` may not pass over it."""
    made = bench(tmp_path, "abc", too_long="c")
    found = by_slice(judged(made, stored(made, "r1"), EACH).candidates[0])
    assert found["topic=c"].decision == "INVALID"
    assert "longer than the model's context" in found["topic=c"].reason


def test_a_slice_that_failed_on_every_item_is_invalid(tmp_path: Path) -> None:
    """No finite answer in the whole slice is no answer to judge; in a part of it each counts as wrong."""
    made = bench(tmp_path, "abc")
    made.forget("q", "t")
    made.evaluation("q", "t", answers([1.0] * 150 + [float("nan")] * 150 + [float("nan")] * 20 + [1.0] * 130))
    found = by_slice(judged(made, stored(made, "r1"), EACH).candidates[0])
    assert [found[f"topic={each}"].decision for each in "abc"] == ["PASS", "INVALID", "FAIL"]
    assert "none of the 150 answers gave a finite acc" in found["topic=b"].reason
    assert "20 of its answers failed" in found["topic=c"].reason


def test_documents_that_failed_count_in_their_slice(tmp_path: Path) -> None:
    """A slice gate sees the failed documents of its slice and no others; a slice of only such ones has a row."""
    made = Bench(tmp_path)
    planned = [
        each.model_copy(update={"slices": {"topic": "abc"[n % 3]}, "bytes": 9}) for n, each in enumerate(items(90))
    ]
    made.plan("t", planned, kind="perplexity", metrics=())
    for name in ("fp32", "q"):
        scores = [
            DocumentScore(nll=None if name == "q" and (n % 3 == 2 or n == 1) else 5.0 + n, tokens=3) for n in range(90)
        ]
        records = [
            ItemRecord(item=f"i{n}", prompt_hash=f"h{n}", document=score, metrics={}) for n, score in enumerate(scores)
        ]
        made.evaluation(name, "t", records)
        made.variant(name, ["t"], facts=facts(weights_digest=name))
    task = {"perplexity": {"data": "d"}, "slice_by": ["topic"]}
    gate = {"task": "t", "metric": "perplexity", "max_increase": "2%", "slice": "each"}
    variants = {"fp32": {"baseline": True}, "q": {}}
    suite = {"suite": "s", "model": "m", "variants": variants, "tasks": {"t": task}, "gates": [gate]}
    verdict = judge(Suite.model_validate(suite), compare_run(made.store, stored(made, "r1")), judged_at=NOW)
    found = by_slice(verdict.candidates[0])
    assert [found[f"topic={each}"].decision for each in "abc"] == ["PASS", "FAIL", "FAIL"]
    assert "no finite likelihood to i1" in found["topic=b"].reason
    rows = {row.slice: row.n for row in verdict.candidates[0].measures[0].slices}
    assert rows == {"topic=a": 30, "topic=b": 29, "topic=c": 0}


def test_what_was_written_otherwise_before_is_not_gone(tmp_path: Path) -> None:
    """Earlier versions called items without a value `topic=None` or `topic=`, and true `topic=True`."""
    made, run = earlier_then(tmp_path, ("a", "None", "True"), ("a", "", "true"))
    candidate = judged(made, run, EACH).candidates[0]
    assert set(by_slice(candidate)) == {"topic=a", "topic=true"}
    assert all(finding.decision == "PASS" for finding in by_slice(candidate).values())
    made, run = earlier_then(tmp_path / "b", ("a", "None"), ("a", "b"))
    assert by_slice(judged(made, run, EACH).candidates[0])["topic=None"].decision == "INVALID"
