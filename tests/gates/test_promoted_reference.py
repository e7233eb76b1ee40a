"""The second anchor on hand-made records: findings against the promoted version, and the loss over versions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.comparison import compare_run
from harness.gates import judge
from harness.records.measures import CumulativeDrift
from harness.records.run_manifest import Accepted, CalibrationOverlap
from harness.records.timings import MemoryFigures, SpeedRecord
from harness.records.verdict import Verdict
from tests.gates.handmade import DROP, HOST, NOW, QUANTIZED, Bench, answers, items, one

COUNT = 1000
STEP: list[dict[str, object]] = [{**DROP[0], "against": "reference"}]
TOTAL: list[dict[str, object]] = [{"task": "t", "metric": "acc", "max_drop": 0.05}]


def with_baseline(root: Path) -> Bench:
    bench = Bench(root)
    bench.plan("t", items(COUNT))
    bench.evaluation("fp32", "t", answers([1.0] * COUNT))
    bench.variant("fp32", ["t"])
    return bench


def candidate(bench: Bench, name: str, lost: int, **changes: object) -> None:
    """A candidate that loses the first `lost` items; it takes the place of the one before."""
    for other in [each for each in bench.variants if each != "fp32"]:
        del bench.variants[other]
    bench.evaluation(name, "t", answers([0.0] * lost + [1.0] * (COUNT - lost)))
    bench.variant(name, ["t"], **{"facts": QUANTIZED.model_copy(update={"weights_digest": name}), **changes})


def release(bench: Bench, run: str, name: str, lost: int, *, label: str = "", **changes: object) -> None:
    """A run whose candidate is promoted."""
    candidate(bench, name, lost)
    bench.store.save_run(bench.manifest(run=run, **changes))
    day = f"2025-01-{len(bench.store.accepted('s')) + 1:02d}T00:00:00+00:00"
    bench.store.accept("s", Accepted(run=run, variant=name, promoted_at=day, name=label))


def three(root: Path, *, last: int = 9) -> Bench:
    """v1 and v2 lose 0.3 pp each; the candidate has lost `last` items in all."""
    bench = with_baseline(root)
    release(bench, "r-1", "one", 3, label="v1")
    release(bench, "r-2", "two", 6, label="v2")
    candidate(bench, "now", last)
    return bench


def series(verdict: Verdict) -> CumulativeDrift:
    (found,) = one(verdict).creep
    return found


def test_the_loss_is_shown_as_a_sum(tmp_path: Path) -> None:
    """Each step against its predecessor, the total against the baseline; the steps add up to it."""
    creep = series(three(tmp_path).verdict([*TOTAL, *STEP]))
    assert [step.version for step in creep.steps] == ["v1", "v2", "now"]
    assert [step.step for step in creep.steps] == pytest.approx([0.003] * 3)
    assert [step.total for step in creep.steps] == pytest.approx([0.003, 0.006, 0.009])
    assert sum(step.step or 0 for step in creep.steps) == pytest.approx(creep.steps[-1].total)
    assert creep.says == "v1 0.30 pp, v2 0.30 pp, now 0.30 pp: 0.90 pp in all against fp32, limit 5.00 pp"
    assert (creep.starts_anew, creep.earlier, creep.limit) == (None, 0, 0.05)


def test_bounds_are_never_chained(tmp_path: Path) -> None:
    """The total's bounds are those of the candidate paired with the baseline, not sums of the steps' bounds."""
    verdict = three(tmp_path).verdict([*TOTAL, *STEP])
    creep, own = series(verdict), one(verdict).measures[0]
    last = creep.steps[-1]
    assert (last.total, last.total_lower, last.total_upper) == (own.change, own.lower, own.upper)
    assert last.total_upper != pytest.approx(sum(step.step_upper or 0 for step in creep.steps))
    step = next(finding for finding in one(verdict).findings if finding.against == "two@r-2")
    assert (last.step, last.step_upper) == (step.value, step.upper)


def test_every_step_passes_and_the_sum_does_not(tmp_path: Path) -> None:
    """The step gate passes, the gate against the baseline fails, and the series says which is which."""
    bench = with_baseline(tmp_path)
    release(bench, "r-1", "one", 30, label="v1")
    candidate(bench, "now", 40)
    verdict = bench.verdict([*DROP, *STEP])
    assert [finding.decision for finding in one(verdict).findings] == ["FAIL", "PASS"]
    assert (series(verdict).total_decision, series(verdict).step_decision) == ("FAIL", "PASS")
    assert "1.00 pp: 4.00 pp in all against fp32, limit 2.00 pp: the last step passes" in series(verdict).says
    assert verdict.exit_code == 10


def test_a_gain_is_negative(tmp_path: Path) -> None:
    """A version that wins items back makes the sum smaller."""
    creep = series(three(tmp_path, last=4).verdict(TOTAL))
    assert [step.step for step in creep.steps] == pytest.approx([0.003, 0.003, -0.002])
    assert creep.steps[-1].total == pytest.approx(0.004)


def test_another_baseline_starts_a_new_series(tmp_path: Path) -> None:
    """After a new fine-tune nothing adds up with before: the series starts anew and says why."""
    bench = three(tmp_path)
    bench.evaluation("tuned", "t", answers([1.0] * COUNT), weights="other")
    fresh = bench.variants["fp32"].model_copy(update={"evaluations": {"t": bench.key("tuned", "t")}})
    bench.variants["fp32"] = fresh
    creep = series(bench.verdict(TOTAL))
    assert [step.version for step in creep.steps] == ["now"]
    assert creep.starts_anew == "a new series starts: the baseline's weights changed since v2"
    assert creep.steps[0].step == creep.steps[0].total == pytest.approx(0.009)
    release(bench, "r-3", "later", 10, label="v3")
    candidate(bench, "last", 12)
    after = series(bench.verdict(TOTAL))
    assert [step.version for step in after.steps] == ["v3", "last"]
    assert "the baseline's weights changed since v2" in after.says


@pytest.mark.parametrize(
    ("identity", "says"),
    [
        ({"tokenizer": "x"}, "the task's items changed"),
        ({"engine": "vllm"}, "the engine changed"),
        ({"device_type": "cuda"}, "the hardware changed"),
        ({"dtype": "bfloat16"}, "the baseline's precision changed"),
        ({"versions": {"torch": "3"}}, "library versions changed"),
        ({"batching": "x"}, "how the baseline is computed changed"),
    ],
)
def test_why_a_series_starts_anew(tmp_path: Path, identity: dict[str, object], says: str) -> None:
    """Every part of the baseline's identity has its words."""
    bench = three(tmp_path)
    bench.evaluation("again", "t", answers([1.0] * COUNT), **identity)
    bench.variants["fp32"] = bench.variants["fp32"].model_copy(update={"evaluations": {"t": bench.key("again", "t")}})
    assert f"{says} since v2" in (series(bench.verdict(TOTAL)).starts_anew or "")


def test_without_a_promoted_version_there_is_no_series(tmp_path: Path) -> None:
    """The first release has nothing to add up; its gate against the reference says how to begin."""
    bench = with_baseline(tmp_path)
    candidate(bench, "now", 0)
    verdict = bench.verdict(STEP)
    assert (one(verdict).creep, verdict.exit_code) == ((), 11)
    assert "no version has been promoted yet; `quantgate promote RUN VARIANT`" in one(verdict).sentence


def test_a_promoted_baseline_is_a_start(tmp_path: Path) -> None:
    """The full-precision model promoted as v0: the first release is a step from it."""
    bench = with_baseline(tmp_path)
    candidate(bench, "one", 3)
    bench.store.save_run(bench.manifest(run="r-0"))
    bench.store.accept("s", Accepted(run="r-0", variant="fp32", promoted_at="2025-01-01T00:00:00+00:00", name="v0"))
    verdict = bench.verdict(STEP)
    assert verdict.exit_code == 0
    assert [(step.version, step.step) for step in series(verdict).steps] == [("v0", 0.0), ("one", 0.003)]


@pytest.mark.parametrize("what", ["run", "records"])
def test_a_promoted_version_that_is_gone(tmp_path: Path, what: str) -> None:
    """Gates against it are INVALID and say so; everything else is judged, nothing raises."""
    bench = three(tmp_path)
    if what == "run":
        shutil.rmtree(bench.store.run_folder("s", "r-2"))
    else:
        bench.forget("two", "t")
    verdict = bench.verdict([*TOTAL, *STEP])
    assert [finding.decision for finding in one(verdict).findings] == ["PASS", "INVALID"]
    assert "gone" in one(verdict).findings[1].reason or "cannot be read" in one(verdict).findings[1].reason
    assert [step.version for step in series(verdict).steps] == ["now"]
    assert "the records of v2 are gone" in (series(verdict).starts_anew or "")
    assert bench.verdict(TOTAL).exit_code == 0


def test_other_items_are_not_paired(tmp_path: Path) -> None:
    """A version that was asked another plan is INVALID as a reference; a partial run decides nothing."""
    bench = three(tmp_path)
    bench.store.save_plan("plan-new", items(COUNT))
    bench.tasks["t"] = bench.tasks["t"].model_copy(update={"plan": "plan-new"})
    bench.evaluation("fp32", "t", answers([1.0] * COUNT))
    bench.variant("fp32", ["t"])
    candidate(bench, "now", 9)
    finding = one(bench.verdict(STEP)).findings[0]
    assert finding.decision == "INVALID"
    assert "t asks other items or asks them otherwise than when v2 was promoted" in finding.reason
    partial = bench.manifest(partial=True)
    verdict = judge(bench.suite(STEP), compare_run(bench.store, partial), judged_at=NOW)
    assert one(verdict).findings[0].decision == "INCONCLUSIVE"


def test_a_version_that_failed_on_items_is_no_measure(tmp_path: Path) -> None:
    """Its failures would count as losses already taken: INVALID, not a smaller drop."""
    bench = with_baseline(tmp_path)
    release(bench, "r-1", "one", 0, label="v1")
    bench.forget("one", "t")
    bench.evaluation("one", "t", answers([float("nan")] * 50 + [1.0] * (COUNT - 50)))
    candidate(bench, "now", 50)
    finding = one(bench.verdict(STEP)).findings[0]
    assert (finding.decision, "v1 itself failed on 50 of 1000 items" in finding.reason) == ("INVALID", True)


def test_a_task_that_is_new(tmp_path: Path) -> None:
    """A task the promoted version was never asked is not decided against it."""
    bench = with_baseline(tmp_path)
    release(bench, "r-1", "one", 0, label="v1")
    bench.plan("u", items(200))
    for name in ("fp32", "now"):
        bench.evaluation(name, "u", answers([1.0] * 200))
    candidate(bench, "now", 3)
    for name in ("fp32", "now"):
        run = bench.variants[name]
        bench.variants[name] = run.model_copy(update={"evaluations": {**run.evaluations, "u": bench.key(name, "u")}})
    gate = {"task": "u", "metric": "acc", "max_drop": 0.05, "against": "reference"}
    finding = one(bench.verdict([gate])).findings[0]
    assert (finding.decision, finding.reason) == (
        "INCONCLUSIVE",
        "v1 was not asked u; promote a version that was",
    )


def test_reasons_name_the_version(tmp_path: Path) -> None:
    """A share that is kept is a share of the promoted version's score, and the reason says that."""
    gate = {"task": "t", "metric": "acc", "min_recovery": 0.9, "against": "reference"}
    finding = one(three(tmp_path).verdict([gate])).findings[0]
    assert (finding.decision, finding.against) == ("PASS", "two@r-2")
    assert "of v2's acc" in finding.reason


def test_a_rollback_is_in_the_chain_once(tmp_path: Path) -> None:
    """Promoting v1 again after this run changes nothing about what it followed; before it, it is a step back."""
    bench = three(tmp_path)
    run = bench.manifest()
    bench.store.accept("s", Accepted(run="r-1", variant="one", promoted_at="2027-01-01T00:00:00+00:00", name="v1"))
    verdict = judge(bench.suite(TOTAL), compare_run(bench.store, run), judged_at=NOW)
    assert [step.version for step in series(verdict).steps] == ["v1", "v2", "now"]
    early = run.model_copy(
        update={"reference": "r-1", "reference_variant": "one", "started_at": "2025-01-01T12:00:00+00:00"}
    )
    first = judge(bench.suite(TOTAL), compare_run(bench.store, early), judged_at=NOW)
    assert [step.version for step in series(first).steps] == ["v1", "now"]
    back = bench.manifest(started_at="2028-01-01T00:00:00+00:00")
    after = judge(bench.suite(TOTAL), compare_run(bench.store, back), judged_at=NOW)
    assert [step.step for step in series(after).steps] == pytest.approx([0.003, 0.003, -0.003, 0.006])


def test_a_long_chain_is_cut_in_front(tmp_path: Path) -> None:
    """Of many versions the last twelve are listed; the first of them carries what came before in its total."""
    bench = with_baseline(tmp_path)
    for number in range(14):
        release(bench, f"r-{number:02d}", f"n{number}", number, label=f"v{number}")
    candidate(bench, "now", 20)
    creep = series(bench.verdict(TOTAL))
    assert (creep.earlier, len(creep.steps), creep.steps[0].version) == (2, 13, "v2")
    assert creep.steps[0].step == creep.steps[0].total == pytest.approx(0.002)
    assert creep.says.startswith("up to v2 0.20 pp, v3 0.10 pp")
    assert sum(step.step or 0 for step in creep.steps) == pytest.approx(0.020)


def memory(host: str, weights: int, peak: int) -> SpeedRecord:
    figures = MemoryFigures(weight_bytes=weights, process_peak_inference_bytes=peak, workload="1x8+4")
    return SpeedRecord(
        key=f"{host}-{weights}", variant="q", baseline="fp32", host=HOST.model_copy(update={"fingerprint": host}),
        workloads=(), memory=figures, baseline_memory=MemoryFigures(weight_bytes=4000, workload="1x8+4"),
        measured_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("host", "metric", "decision"),
    [
        ("here", "weight_bytes", "FAIL"),
        ("there", "weight_bytes", "FAIL"),
        ("here", "process_peak_bytes", "FAIL"),
        ("there", "process_peak_bytes", "INCONCLUSIVE"),
    ],
)
def test_memory_against_the_promoted_version(tmp_path: Path, host: str, metric: str, decision: str) -> None:
    """Exact figures beside exact figures; a process's peak only where both were measured on one machine."""
    bench = with_baseline(tmp_path)
    before, now = memory(host, 1000, 5000), memory("here", 1200, 6000)
    for record in (before, now):
        bench.store.save_speed(record)
    candidate(bench, "one", 0)
    bench.variants["one"] = bench.variants["one"].model_copy(update={"speed": before.key})
    bench.store.save_run(bench.manifest(run="r-1"))
    bench.store.accept("s", Accepted(run="r-1", variant="one", promoted_at="2025-01-01T00:00:00+00:00", name="v1"))
    candidate(bench, "now", 0, speed=now.key)
    speed = {"workloads": [{"batch": 1, "prompt_tokens": 8, "new_tokens": 4}]}
    gate = {"metric": metric, "max_ratio": 1.1, "against": "reference"}
    finding = one(bench.verdict([gate], speed=speed)).findings[0]
    assert finding.decision == decision
    if decision == "FAIL":
        assert finding.value == pytest.approx(1.2)
        assert "1.200 × v1's" in finding.reason


def overlap(*numbers: int) -> tuple[CalibrationOverlap, ...]:
    """Calibration data that shares passages with these items."""
    return (
        CalibrationOverlap(
            task="t", items=COUNT, exact=0, copied=len(numbers), copied_items=tuple(f"i{n}" for n in numbers),
            distance=0.4, calibration_words=20, evaluation_words=10,
        ),
    )  # fmt: skip


def test_steps_are_judged_apart_from_the_calibration_data_too(tmp_path: Path) -> None:
    """The step is small over all items only because 900 of them are in the candidate's calibration data."""
    bench = with_baseline(tmp_path)
    release(bench, "r-1", "one", 0, label="v1")
    candidate(bench, "now", 12)
    (whole,) = one(bench.verdict(STEP)).findings
    assert (whole.decision, whole.n) == ("PASS", COUNT)
    candidate(bench, "then", 12, calibration=overlap(*range(100, COUNT)))
    (apart,) = one(bench.verdict(STEP)).findings
    assert (apart.decision, apart.n, apart.value) == ("FAIL", 100, 0.12)
    assert apart.reason.startswith("without the items that share text with the calibration data: drop 12.00 pp")


def test_what_the_promoted_version_was_calibrated_on_is_left_out_as_well(tmp_path: Path) -> None:
    """50 items in the candidate's data, 100 others in the promoted version's: neither side has seen the 850 left."""
    bench = with_baseline(tmp_path)
    release(bench, "r-1", "one", 0, label="v1")
    first = bench.store.find_run("r-1")
    seen = first.variants["one"].model_copy(update={"calibration": overlap(*range(100))})
    bench.store.save_run(first.model_copy(update={"variants": {**first.variants, "one": seen}}))
    candidate(bench, "now", 150, calibration=overlap(*range(100, 150)))
    comparison = compare_run(bench.store, bench.manifest())
    (found,) = comparison.candidates
    assert found.clean is not None
    assert found.clean_reference is not None
    assert found.clean.metrics["t", "acc"].count == COUNT - 50
    assert found.clean_reference.metrics["t", "acc"].count == COUNT - 150
    assert float(found.clean_reference.metrics["t", "acc"].drops.sum()) == 0.0
