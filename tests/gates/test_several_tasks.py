"""Gates on the mean over several tasks, and on a slice against the rest of its task: from the suite to the verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.explanations import explain_findings
from harness.explanations.explain import Shown
from harness.records.findings import Finding
from harness.records.items import ItemRecord, PlannedItem, outcome
from harness.records.verdict import Verdict
from harness.reports.markdown import render_markdown
from harness.stats import paired_drop
from tests.gates.handmade import QUANTIZED, Bench, one

MEAN = {"tasks": ["a", "b", "c"], "metric": "acc", "max_drop": 0.02}


def planned(task: str, n: int, first: int = 0) -> list[PlannedItem]:
    return [
        PlannedItem(item=f"{task}{i}", index=i - first, prompt_hash=f"h{i}", prompt="p", slices={"half": "ab"[i % 2]})
        for i in range(first, first + n)
    ]


def answered(plan: list[PlannedItem], values: np.ndarray) -> list[ItemRecord]:
    return [
        ItemRecord(item=item.item, prompt_hash=item.prompt_hash, metrics={"acc": outcome(float(value))})
        for item, value in zip(plan, values, strict=True)
    ]


def flipped(n: int, lost: int, won: int, *, wrong: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Baseline and candidate; `wrong`: items that both have wrong."""
    base, cand = np.ones(n), np.ones(n)
    cand[:lost] = 0
    base[lost : lost + won] = 0
    base[lost + won : lost + won + wrong] = cand[lost + won : lost + won + wrong] = 0
    return base, cand


def bench_of(root: Path, tasks: dict[str, tuple[int, int, int]]) -> Bench:
    bench = Bench(root)
    for task, (n, lost, won) in tasks.items():
        plan = planned(task, n)
        base, cand = flipped(n, lost, won)
        bench.plan(task, plan)
        bench.evaluation("fp32", task, answered(plan, base))
        bench.evaluation("q", task, answered(plan, cand))
    bench.variant("fp32", list(tasks))
    bench.variant("q", list(tasks), facts=QUANTIZED, must_be_quantized=True)
    return bench


def only(verdict: Verdict) -> Finding:
    (finding,) = one(verdict).findings
    return finding


THREE = {"a": (300, 5, 2), "b": (300, 6, 6), "c": (300, 5, 2)}


def test_three_tasks_decide_together_what_none_decides_alone(tmp_path: Path) -> None:
    """Each task alone is INCONCLUSIVE at two points; their mean passes."""
    bench = bench_of(tmp_path, THREE)
    alone = one(bench.verdict([{"task": task, "metric": "acc", "max_drop": 0.02} for task in THREE])).findings
    assert [each.decision for each in alone] == ["INCONCLUSIVE"] * 3
    finding = only(bench.verdict([MEAN]))
    assert (finding.decision, finding.task, finding.n) == ("PASS", "a+b+c", 900)
    assert finding.value == pytest.approx((3 + 0 + 3) / 900)
    assert finding.tasks == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert finding.reason.startswith("drop 0.67 pp over 3 tasks (a 1.00 pp, b 0.00 pp, c 1.00 pp), one-sided 95 %")


def test_bounds_are_movers(tmp_path: Path) -> None:
    """By a plain loop over the tasks' own bounds, with weights that do not add up to 1."""
    bench, weights = bench_of(tmp_path, THREE), {"a": 2.0, "b": 1.0, "c": 1.0}
    finding = only(bench.verdict([{**MEAN, "tasks": weights}]))
    value = up = down = 0.0
    for task, (n, lost, won) in THREE.items():
        drop, share = paired_drop(n, lost, won, margin=0.02), weights[task] / 4
        value += share * drop.drop
        up += (share * (drop.upper - drop.drop)) ** 2
        down += (share * (drop.drop - drop.lower)) ** 2
    assert (finding.value, finding.lower, finding.upper) == pytest.approx((value, value - down**0.5, value + up**0.5))


def test_one_broken_task_is_not_outvoted(tmp_path: Path) -> None:
    """A loss of a whole task shows in the mean."""
    bench = bench_of(tmp_path, {**THREE, "c": (300, 60, 1)})
    assert only(bench.verdict([MEAN])).decision == "FAIL"


def test_a_task_with_nothing_to_lose_makes_the_mean_invalid(tmp_path: Path) -> None:
    """It would dilute the loss of the others."""
    bench = bench_of(tmp_path, {"a": (300, 4, 2), "b": (300, 3, 3)})
    plan = planned("c", 300)
    bench.plan("c", plan)
    for variant in ("fp32", "q"):
        bench.evaluation(variant, "c", answered(plan, np.zeros(300)))
    bench.variant("fp32", ["a", "b", "c"])
    bench.variant("q", ["a", "b", "c"], facts=QUANTIZED, must_be_quantized=True)
    finding = only(bench.verdict([MEAN]))
    assert (finding.decision, finding.code) == ("INVALID", "at_zero")
    assert finding.reason.startswith("c: the baseline has acc 0 on all 300 items")


def test_a_task_that_was_not_measured_decides_nothing(tmp_path: Path) -> None:
    """The mean of the others is another question."""
    bench = bench_of(tmp_path, THREE)
    bench.variant("q", ["a", "b"], facts=QUANTIZED, must_be_quantized=True)
    finding = only(bench.verdict([MEAN]))
    assert finding.decision == "INCONCLUSIVE"
    assert finding.reason == "c was not measured in this run"


def test_tasks_over_the_same_items_are_no_further_evidence(tmp_path: Path) -> None:
    """Two tasks with the same items and the same flips have the interval of one."""
    bench = Bench(tmp_path)
    plan = planned("x", 300)
    base, cand = flipped(300, 6, 3)
    for task in ("a", "b"):
        bench.plan(task, plan)
        bench.evaluation("fp32", task, answered(plan, base), attempt=task)
        bench.evaluation("q", task, answered(plan, cand), attempt=task)
    bench.variant("fp32", ["a", "b"])
    bench.variant("q", ["a", "b"], facts=QUANTIZED, must_be_quantized=True)
    verdict = bench.verdict([{"tasks": ["a", "b"], "metric": "acc", "max_drop": 0.02}])
    drop = paired_drop(300, 6, 3, margin=0.02)
    assert (only(verdict).lower, only(verdict).upper) == pytest.approx((drop.lower, drop.upper))


def slices(root: Path, lost_a: int, lost_b: int, n: int = 600) -> Bench:
    """A task whose even items are in slice half=a, the others in half=b."""
    bench, plan = Bench(root), planned("t", n)
    base, cand = np.ones(n), np.ones(n)
    cand[0 : 2 * lost_a : 2] = 0
    cand[1 : 1 + 2 * lost_b : 2] = 0
    base[-40:] = cand[-40:] = 0
    bench.plan("t", plan)
    bench.evaluation("fp32", "t", answered(plan, base))
    bench.evaluation("q", "t", answered(plan, cand))
    bench.variant("fp32", ["t"])
    bench.variant("q", ["t"], facts=QUANTIZED, must_be_quantized=True)
    return bench


SLICED = {
    "tasks": {"t": {"choice": {"data": "d", "prompt": "p", "choices": ["a", "b"], "answer": "a"}, "slice_by": ["half"]}}
}
EXCESS = {"task": "t", "metric": "acc", "max_excess_drop": 0.05, "slice": "half=a"}


@pytest.mark.parametrize(
    ("lost_a", "lost_b", "decision"),
    [(60, 3, "FAIL"), (3, 3, "PASS"), (20, 12, "INCONCLUSIVE"), (60, 60, "INCONCLUSIVE")],
)
def test_a_slice_against_the_rest(tmp_path: Path, lost_a: int, lost_b: int, decision: str) -> None:
    """What counts is how much more the slice loses, not how much it loses."""
    finding = only(slices(tmp_path, lost_a, lost_b).verdict([EXCESS], **SLICED))
    assert finding.value == pytest.approx((lost_a - lost_b) / 300)
    assert finding.decision == decision


def test_both_are_explained_and_reported(tmp_path: Path) -> None:
    """The numbers of the explanation are those of the verdict; the overview has a column for the mean."""
    bench = bench_of(tmp_path, THREE)
    verdict = bench.verdict([MEAN])
    bench.store.save_run(bench.manifest())
    (told,) = explain_findings(bench.store, bench.manifest(), [only(verdict)], Shown())
    assert not any("other bounds" in note for note in told.notes)
    steps = {step.symbol: step.value for section in told.sections for step in section.steps}
    assert (steps["L"], steps["U"]) == pytest.approx((told.lower, told.upper))
    assert [row[0] for row in told.tables[0].rows] == ["a", "b", "c"]
    assert len(told.commands) == 3
    assert "mean of 3<br>drop" in render_markdown(verdict)


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ({"tasks": ["a"], "metric": "acc", "max_drop": 0.1}, "expected at least 2 different tasks, got 1"),
        ({"tasks": ["a", "a"], "metric": "acc", "max_drop": 0.1}, "expected at least 2 different tasks, got 1"),
        ({"tasks": {"a": 0, "b": 1}, "metric": "acc", "max_drop": 0.1}, "greater than 0"),
        ({"task": "a", "tasks": ["a", "b"], "metric": "acc", "max_drop": 0.1}, "expected task or tasks, got both"),
    ],
)
def test_what_a_gate_refuses(tmp_path: Path, gate: dict[str, object], says: str) -> None:
    """One task is no mean, a weight is positive, and a gate looks at one thing."""
    with pytest.raises(ValueError, match=says):
        bench_of(tmp_path, THREE).suite([gate])
