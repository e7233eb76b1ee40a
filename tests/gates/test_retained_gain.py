"""`min_retained` and the measures of it, on hand-made records of three models."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison import compare_run
from harness.gates import judge
from harness.records.items import DocumentScore, ItemRecord
from harness.records.run_manifest import CalibrationOverlap, RunManifest, TokenDisagreement, VariantRun
from harness.records.verdict import CandidateVerdict, Verdict
from harness.suite.models import Suite
from tests.gates.handmade import HOST, NOW, QUANTIZED, Bench, answers, facts, items, key_of, one

ACC = {"task": "t", "metric": "acc", "min_retained": 0.8}
PPL = {"task": "w", "metric": "perplexity", "min_retained": 0.8}
TYPICAL = {"000": 120, "011": 98, "010": 4, "001": 1, "111": 73, "100": 3, "110": 1}


def sides(counts: dict[str, int]) -> tuple[list[float], ...]:
    """Base, fine-tuned model and candidate from counts of their right answers: `011` is a gain that is kept."""
    return tuple([float(key[place]) for key, count in counts.items() for _ in range(count)] for place in range(3))


def bench_of(root: Path, counts: dict[str, int], *, clusters: int = 0) -> Bench:
    bench = Bench(root)
    values = sides(counts)
    plan = items(len(values[0]))
    if clusters:
        plan = [each.model_copy(update={"cluster": f"c{n % clusters}"}) for n, each in enumerate(plan)]
    bench.plan("t", plan)
    for name, own in zip(("base model", "fp32", "q"), values, strict=True):
        bench.evaluation(name, "t", answers(own))
    bench.variant("fp32", ["t"])
    bench.variant("q", ["t"], facts=QUANTIZED, must_be_quantized=True)
    return bench


def base_of(*tasks: str, **changes: object) -> VariantRun:
    run = VariantRun(
        variant="base model",
        evaluations={task: key_of("base model", task) for task in tasks},
        facts=facts(weights_digest="before"),
    )
    return run.model_copy(update=changes)


def judged(bench: Bench, gates: list[dict[str, object]], base: VariantRun | None) -> Verdict:
    kinds = {
        name: {"perplexity": {"data": "d"}}
        if task.kind == "perplexity"
        else {"choice": {"data": "d", "prompt": "p", "choices": ["a", "b"], "answer": "a"}}
        for name, task in bench.tasks.items()
    }
    suite = Suite.model_validate(
        {
            "suite": "s",
            "model": "m",
            "base": "before",
            "variants": {name: {"baseline": name == "fp32"} for name in bench.variants},
            "tasks": kinds,
            "gates": gates,
        }
    )
    run = RunManifest(
        run="r1", suite="s", suite_file="s.yaml", suite_hash="", suite_text="", baseline="fp32", base=base,
        variants=bench.variants, tasks=bench.tasks, host=HOST, quantgate="0", started_at=NOW, elapsed_s=1.0,
    )  # fmt: skip
    return judge(suite, compare_run(bench.store, run), judged_at=NOW)


def candidate(bench: Bench, gate: dict[str, object], base: VariantRun | None) -> CandidateVerdict:
    return one(judged(bench, [gate], base))


@pytest.mark.parametrize(("limit", "expected"), [(0.8, "PASS"), (0.95, "INCONCLUSIVE"), ("99.9%", "INCONCLUSIVE")])
def test_the_gate_follows_the_bounds(tmp_path: Path, limit: object, expected: str) -> None:
    """The share, its bounds and the gain stand in finding, measure and sentence; percent strings are read."""
    bench = bench_of(tmp_path, TYPICAL)
    found = candidate(bench, {**ACC, "min_retained": limit}, base_of("t"))
    finding, row = found.findings[0], found.retained[0]
    assert (found.decision, finding.against) == (expected, "the base model")
    assert row.retained == finding.value == pytest.approx(95 / 99)
    assert (row.lower, row.upper) == (finding.lower, finding.upper)
    assert (row.base, row.fine_tuned, row.candidate) == pytest.approx((77 / 300, 176 / 300, 172 / 300))
    assert row.gain == pytest.approx(99 / 300)
    assert "of what fine-tuning gained in acc, 33.00 pp" in finding.reason
    assert ("more items would decide" in finding.reason) is (expected == "INCONCLUSIVE")


def test_a_lost_gain_fails(tmp_path: Path) -> None:
    """A candidate that falls halfway back to the base breaks the limit, though it is better than the base."""
    bench = bench_of(tmp_path, {"000": 120, "011": 50, "010": 50, "111": 80})
    found = candidate(bench, ACC, base_of("t"))
    assert (found.decision, found.retained[0].retained) == ("FAIL", 0.5)
    assert "the limit is broken" in found.findings[0].reason


def test_a_fail_stands_in_holms_family(tmp_path: Path) -> None:
    """It has the p of its own test: alone it FAILs, as one of twelve limits the same share is not decided, and its p
    counts for the others."""
    bench = bench_of(tmp_path, {"000": 120, "011": 76, "010": 24, "111": 80})
    alone = candidate(bench, {**ACC, "min_retained": 0.84}, base_of("t")).findings[0]
    assert alone.decision == "FAIL"
    assert alone.p is not None
    assert 0.01 < alone.p < 0.05
    assert (alone.p_adjusted, alone.together) == (alone.p, 1)
    others: list[dict[str, object]] = [{"task": "t", "metric": "acc", "max_drop": 0.1 + n / 100} for n in range(11)]
    found = one(judged(bench, [{**ACC, "min_retained": 0.84}, *others], base_of("t"))).findings
    assert (found[0].decision, found[0].together, found[0].p) == ("INCONCLUSIVE", 12, alone.p)
    assert found[0].p_adjusted == pytest.approx(12 * alone.p)
    assert "of 12 limits judged together" in found[0].reason
    assert "the limit is broken" not in found[0].reason
    assert {each.together for each in found} == {12}


def test_without_a_share_there_is_no_p(tmp_path: Path) -> None:
    """No gain shown, or too few documents: nothing is claimed, so no other limit has to make room for it."""
    unshown = candidate(bench_of(tmp_path / "a", {"011": 10, "100": 9, "000": 80}), ACC, base_of("t")).findings[0]
    few = candidate(documents_bench(tmp_path / "b", 19), PPL, base_of("w")).findings[0]
    assert [(each.p, each.together) for each in (unshown, few)] == [(None, None)] * 2


def test_few_clusters_are_named(tmp_path: Path) -> None:
    """Over few clusters the bounds count with an unseen one, and the sentence says how few there are."""
    apart = candidate(bench_of(tmp_path / "a", TYPICAL), ACC, base_of("t")).findings[0]
    bench = bench_of(tmp_path / "b", TYPICAL, clusters=20)
    found = candidate(bench, ACC, base_of("t"))
    assert (apart.decision, found.decision, found.retained[0].clusters) == ("PASS", "INCONCLUSIVE", 20)
    assert "only 20 clusters" in found.findings[0].reason
    assert (found.findings[0].lower or 0) < (apart.lower or 0) - 0.1


def test_measures_need_no_gate(tmp_path: Path) -> None:
    """With a base and no gate the share is measured all the same, and nothing is decided by it."""
    verdict = judged(bench_of(tmp_path, TYPICAL), [], base_of("t"))
    assert verdict.decision == "INCONCLUSIVE"
    assert one(verdict).retained[0].retained == pytest.approx(95 / 99)
    assert verdict.base is not None
    assert (verdict.base.model, verdict.base.note) == ("before", None)


@pytest.mark.parametrize(
    ("counts", "expected", "says"),
    [
        ({"011": 10, "100": 9, "000": 80}, "INCONCLUSIVE", "no gain from fine-tuning is shown by these items"),
        ({"100": 60, "000": 40}, "INVALID", "fine-tuning made this worse"),
    ],
)
def test_no_gain_is_undefined(tmp_path: Path, counts: dict[str, int], expected: str, says: str) -> None:
    """A gain that may be 0 leaves the gate open; one that is a loss is no ground for the gate. No share is given."""
    found = candidate(bench_of(tmp_path, counts), ACC, base_of("t"))
    assert (found.decision, found.findings[0].value, found.retained[0].retained) == (expected, None, None)
    assert says in found.findings[0].reason
    assert says in (found.retained[0].note or "")


DISAGREES = TokenDisagreement(task="t", item="i3", text="Gruß", baseline_ids=(1, 2), variant_ids=(1, 3))


@pytest.mark.parametrize(
    ("base", "expected", "says"),
    [
        (None, "INCONCLUSIVE", "this run has no base model; run the suite again"),
        (base_of(failure="out of memory"), "INCONCLUSIVE", "could not be run: out of memory"),
        (base_of(), "INCONCLUSIVE", "t was not measured on the base model"),
        (base_of(token_disagreement=DISAGREES), "INVALID", "'Gruß' is [1, 2] for the baseline and [1, 3] for the base"),
        (base_of("t", facts=facts()), "INVALID", "weights equal the fine-tuned model's"),
        (base_of("t", facts=facts(non_finite=("w",))), "INVALID", "hold NaN or infinity: w"),
    ],
)
def test_a_base_that_cannot_serve_says_so(tmp_path: Path, base: VariantRun | None, expected: str, says: str) -> None:
    """Not had is INCONCLUSIVE, wrong is INVALID; every other gate is judged as without a base."""
    bench = bench_of(tmp_path, TYPICAL)
    verdict = judged(bench, [{**ACC, "severity": "warn"}, {"task": "t", "metric": "acc", "max_drop": 0.05}], base)
    found = one(verdict)
    assert (found.decision, found.findings[0].decision, found.findings[1].decision) == ("PASS", expected, "PASS")
    assert says in found.findings[0].reason
    assert all(row.retained is None and says in (row.note or "") for row in found.retained)


def test_a_base_that_fits_no_plan_is_invalid(tmp_path: Path) -> None:
    """Records of the base with another prompt or a missing item are not set beside the others."""
    bench = bench_of(tmp_path, TYPICAL)
    bench.forget("base model", "t")
    bench.evaluation("base model", "t", answers(sides(TYPICAL)[0])[:-1])
    found = candidate(bench, ACC, base_of("t"))
    assert found.findings[0].decision == "INVALID"
    assert "the base model has 299 items, the plan has 300" in found.findings[0].reason


def test_answers_the_base_failed_on_are_named(tmp_path: Path) -> None:
    """A base without a finite answer makes the share INVALID and leaves the drop alone."""
    bench = bench_of(tmp_path, TYPICAL)
    bench.forget("base model", "t")
    bench.evaluation("base model", "t", answers([float("nan"), *sides(TYPICAL)[0][1:]]))
    found = candidate(bench, ACC, base_of("t"))
    assert found.findings[0].decision == "INVALID"
    assert "no finite answer to 1 of 300 items (first i0)" in found.findings[0].reason
    assert found.measures[0].n == 300


def test_a_candidates_failure_counts_against_it(tmp_path: Path) -> None:
    """A failed answer of the candidate is a wrong one here too."""
    bench = bench_of(tmp_path, TYPICAL)
    bench.forget("q", "t")
    own = sides(TYPICAL)[2]
    lost = own.index(1.0)
    bench.evaluation("q", "t", answers([*own[:lost], float("nan"), *own[lost + 1 :]]))
    assert candidate(bench, ACC, base_of("t")).retained[0].retained == pytest.approx(94 / 99)


def test_each_slice_has_its_share(tmp_path: Path) -> None:
    """`slice: each` judges the share slice by slice, over that slice's items only."""
    bench = bench_of(tmp_path, TYPICAL)
    found = candidate(bench, {**ACC, "slice": "each"}, base_of("t"))
    assert [(each.slice, each.n) for each in found.findings] == [("half=a", 150), ("half=b", 150)]
    assert candidate(bench, {**ACC, "slice": "half=z"}, base_of("t")).findings[0].decision == "INVALID"


def test_items_from_the_calibration_data_are_judged_apart(tmp_path: Path) -> None:
    """A share that holds only with the items that share text with the calibration data does not pass."""
    bench = bench_of(tmp_path, {"011": 150, "010": 60, "000": 90})
    gate = {**ACC, "min_retained": 0.6}
    assert candidate(bench, gate, base_of("t")).findings[0].decision == "PASS"
    copied = CalibrationOverlap(
        task="t", items=300, exact=0, copied=150, copied_items=tuple(f"i{n}" for n in range(150)), distance=0.1,
        calibration_words=5, evaluation_words=5,
    )  # fmt: skip
    bench.variants["q"] = bench.variants["q"].model_copy(update={"calibration": (copied,)})
    found = candidate(bench, gate, base_of("t")).findings[0]
    assert (found.decision, found.n) == ("FAIL", 150)
    assert "without the items that share text with the calibration data" in found.reason


def documents_bench(root: Path, count: int, *, candidate_nll: float | None = 209.0) -> Bench:
    """Documents of 100 tokens: 2.6 nats per token before fine-tuning, 2.0 after it."""
    bench = Bench(root)
    bench.plan("w", items(count, bytes=400), kind="perplexity", metrics=())
    for name, nll in (("base model", 260.0), ("fp32", 200.0), ("q", candidate_nll)):
        scores = [None if nll is None and n == 0 else (nll or 200.0) + n % 5 for n in range(count)]
        records = [
            ItemRecord(item=f"i{n}", prompt_hash=f"h{n}", document=DocumentScore(nll=own, tokens=100), metrics={})
            for n, own in enumerate(scores)
        ]
        bench.evaluation(name, "w", records)
    bench.variant("fp32", ["w"])
    bench.variant("q", ["w"], facts=QUANTIZED)
    return bench


def test_perplexity_goes_by_the_likelihood(tmp_path: Path) -> None:
    """(NLL_base - NLL_cand) / (NLL_base - NLL_ft), per token and per byte alike; levels are the metric's."""
    found = candidate(documents_bench(tmp_path, 30), PPL, base_of("w"))
    shown = ["perplexity", "byte_perplexity", "bits_per_byte"]
    assert (found.decision, [row.metric for row in found.retained]) == ("PASS", shown)
    assert [row.retained for row in found.retained] == pytest.approx([0.85, 0.85, 0.85])
    assert found.retained[0].gain == pytest.approx(0.6)
    assert found.retained[0].base == pytest.approx(13.736, abs=1e-3)
    few = candidate(documents_bench(tmp_path / "few", 19, candidate_nll=200.0), PPL, base_of("w"))
    assert few.decision == "INCONCLUSIVE"
    assert "19 documents are too few" in few.findings[0].reason


def test_a_document_without_a_likelihood_fails(tmp_path: Path) -> None:
    """As in every gate on perplexity, a candidate that gives no finite likelihood has failed."""
    found = candidate(documents_bench(tmp_path, 30, candidate_nll=None), PPL, base_of("w"))
    assert (found.decision, found.findings[0].reason) == ("FAIL", "gave no finite likelihood to 1 documents (first i0)")
