"""Releases through real worker processes: promoted one after another, until the anchor holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.commands.saved import print_promoted, promote_version
from harness.errors import UsageError
from harness.records.run_manifest import Accepted
from harness.records.store import Store

Write = Callable[..., Path]
ITEMS = 2000
LOSSES = (0.045, 0.09, 0.135, 0.18, 0.225)
"""Share of answers that each release moves away from the baseline's; two in three of those then are wrong."""
GATES = [
    {"name": "step", "task": "say", "metric": "exact_match", "max_drop": 0.045, "against": "reference"},
    {"name": "total", "task": "say", "metric": "exact_match", "max_drop": 0.123},
]


def releases(write_suite: Write, tmp_path: Path, items: int = ITEMS) -> Callable[..., Path]:
    """Writes a suite whose baseline is right everywhere: the expected answers are what it was seen to say."""
    task = {
        "generate": {"data": "data/says.jsonl", "prompt": "{{q}}", "answer": "{{a}}", "max_new_tokens": 4},
        "id": "id",
    }

    def suite(noise: float, answers: dict[str, str] | None = None, **changes: object) -> Path:
        rows = [{"id": f"q{n}", "q": f"Question {n}?", "a": (answers or {}).get(f"q{n}", "yes")} for n in range(items)]
        variants = {
            "full": {"engine": "scripted", "baseline": True, "script": {}},
            "small": {
                "engine": "scripted",
                "quantized": True,
                "script": {"quantized_modules": 12, "noise": noise, "digest": f"small-{noise}"},
            },
        }
        path = write_suite(items=1, variants=variants, tasks={"say": task}, **{"gates": GATES, **changes})
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "data" / "says.jsonl").write_text(lines)
        return path

    return suite


def seen(results: Path, run: harness.api.Run) -> dict[str, str]:
    records = Store(results).items(run.manifest.variants["full"].evaluations["say"])
    return {record.item: record.answer.text.strip() for record in records if record.answer is not None}


@pytest.mark.slow
def test_creeping_loss_is_stopped_by_the_anchor(write_suite: Write, tmp_path: Path) -> None:
    """Five releases lose about 3 pp each and each passes its step; the fifth is stopped by the gate on the total."""
    suite = releases(write_suite, tmp_path)
    answers = seen(tmp_path / "seen", harness.run(suite(0.0), results=tmp_path / "seen", variants=("small",)))
    results = tmp_path / "results"
    start = harness.run(suite(0.0, answers), results=results)
    promote_version(start.manifest.run, "full", results, name="v0", note="", force=False)
    for number, noise in enumerate(LOSSES[:-1], start=1):
        run = harness.run(suite(noise, answers), results=results)
        decisions = {finding.name: finding.decision for finding in run.verdict.candidates[0].findings}
        assert decisions == {"step": "PASS", "total": "PASS"}, run.verdict.sentence
        promote_version(run.manifest.run, "small", results, name=f"v{number}", note="", force=False)
    last = harness.run(suite(LOSSES[-1], answers), results=results)
    (candidate,) = last.verdict.candidates
    decisions = {finding.name: finding.decision for finding in candidate.findings}
    assert (last.exit_code, decisions) == (10, {"step": "PASS", "total": "FAIL"})
    creep = next(each for each in candidate.creep if each.metric == "exact_match")
    assert [step.version for step in creep.steps] == ["v0", "v1", "v2", "v3", "v4", "small"]
    assert creep.steps[0].step == 0
    assert sum(step.step or 0 for step in creep.steps) == pytest.approx(creep.steps[-1].total)
    assert all((step.step_upper or 0) < 0.045 for step in creep.steps)
    assert (creep.steps[-1].total_lower or 0) > 0.123
    assert creep.says.endswith("limit 12.30 pp: the last step passes, the sum does not")


def test_a_moved_limit_and_a_waiver_reach_a_saved_run(write_suite: Write, tmp_path: Path) -> None:
    """`gate RUN --suite NEW`: nothing is measured again, the waiver counts, the limit's move is shown."""
    suite = releases(write_suite, tmp_path, items=400)
    results = tmp_path / "results"
    start = harness.run(suite(0.0), results=results)
    promote_version(start.manifest.run, "full", results, name="v0", note="", force=False)
    answers = seen(results, start)
    start = harness.run(suite(0.0, answers), results=results)
    promote_version(start.manifest.run, "full", results, name="v1", note="", force=False)
    run = harness.run(suite(0.3, answers), results=results)
    assert run.exit_code == 10
    waiver = {"variant": "small", "reason": "agreed", "by": "Ann", "until": "2999-01-01"}
    waivers = [{"gate": "step", **waiver}, {"gate": "total", **waiver}]
    moved = [GATES[0], {**GATES[1], "max_drop": 0.14}]
    evaluations = sorted((results / "evaluations").iterdir())
    verdict = harness.gate(run.manifest.run, suite=suite(0.3, answers, gates=moved, waivers=waivers), results=results)
    assert (verdict.exit_code, [each.decision for each in verdict.candidates[0].findings]) == (0, ["WAIVED", "WAIVED"])
    assert [each.says for each in verdict.gate_changes] == [
        "say exact_match (total): limit 14.00 pp, was 12.30 pp when v1 was promoted"
    ]
    assert verdict.candidates[0].findings[1].limit_before == 0.123
    again = harness.run(suite(0.3, answers, gates=moved, waivers=waivers), results=results)
    assert again.exit_code == 0
    assert sorted((results / "evaluations").iterdir()) == evaluations


def test_promote_shows_waivers_and_refuses_ended_ones(
    write_suite: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a version passed under is printed and kept; a waiver that has ended since asks for another judgement."""
    results = tmp_path / "results"
    waiver = {"gate": "ask/acc/max_drop", "variant": "small", "reason": "agreed", "by": "Ann", "until": "2999-01-01"}
    gates = [{"task": "ask", "metric": "acc", "min": 0.9}]
    suite = write_suite(gates=gates, waivers=[{**waiver, "gate": "ask/acc/min"}])
    run = harness.run(suite, results=results)
    assert run.verdict.decision == "PASS", run.verdict.sentence
    promote_version(run.manifest.run, "small", results, name="v1", note="", force=False)
    assert "it passed under a waiver: ask/acc/min for small waived until 2999-01-01 by Ann: agreed" in (
        capsys.readouterr().out
    )
    assert Store(results).accepted("scripted")[-1].waivers[0].endswith("by Ann: agreed")
    print_promoted("scripted", results)
    assert "v1  small@" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--name v1: is small@"):
        promote_version(run.manifest.run, "full", results, name="v1", note="", force=False)
    stored = results / "scripted" / "runs" / run.manifest.run / "verdict.json"
    earlier = json.loads(stored.read_text().replace('"until": "2999-01-01"', '"until": "2020-01-01"'))
    del earlier["checksum"]
    stored.write_text(json.dumps({**earlier, "schema_version": 1}))
    with pytest.raises(UsageError, match="which ended on 2020-01-01"):
        promote_version(run.manifest.run, "small", results, name="v2", note="", force=False)


def test_a_partial_run_is_promoted_by_force_alone(write_suite: Write, tmp_path: Path) -> None:
    """Later runs of the whole suite could not pair with it, so that is refused with the way round it."""
    results = tmp_path / "results"
    run = harness.run(write_suite(), results=results, limit=20)
    with pytest.raises(UsageError, match="is partial"):
        promote_version(run.manifest.run, "full", results, name="", note="", force=False)
    promote_version(run.manifest.run, "full", results, name="", note="", force=True)
    assert [each.variant for each in Store(results).accepted("scripted")] == ["full"]


def test_old_lines_of_promoted_versions_are_read(tmp_path: Path) -> None:
    """A line written before versions had names is a version without one."""
    store = Store(tmp_path)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "accepted.jsonl").write_text('{"run":"r","variant":"v","promoted_at":"2026-01-01T00:00:00Z"}\n')
    assert store.accepted("s") == [Accepted(run="r", variant="v", promoted_at="2026-01-01T00:00:00Z")]
