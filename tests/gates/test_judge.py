"""The whole judgement on hand-made records: same store, same pairing, same gates as a real run."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from harness.methods import METHODS
from harness.records.items import DocumentScore, ItemRecord
from harness.records.run_manifest import CalibrationOverlap
from harness.records.timings import MemoryFigures, SpeedRecord, TimedPair, TimingSample, WorkloadTimes
from tests.gates.handmade import DROP, HOST, NOW, QUANTIZED, Bench, answers, binary_bench, facts, items, one


@pytest.mark.parametrize(
    ("n", "b", "c", "expected", "code"),
    [
        (132, 0, 0, "INCONCLUSIVE", 11),
        (133, 0, 0, "PASS", 0),
        (200, 1, 0, "INCONCLUSIVE", 11),
        (1000, 20, 20, "PASS", 0),
        (1000, 68, 18, "FAIL", 10),
    ],
)
def test_drop_gate_follows_the_bound(tmp_path: Path, n: int, b: int, c: int, expected: str, code: int) -> None:
    """The verdict and the exit code are those of the table of reference values."""
    verdict = binary_bench(tmp_path, n, b, c).verdict(DROP)
    assert (one(verdict).decision, verdict.exit_code) == (expected, code)
    if expected == "INCONCLUSIVE":
        assert "would decide" in one(verdict).findings[0].reason


def test_unquantized_claim_is_invalid(tmp_path: Path) -> None:
    """A variant that claims to be quantized and holds no quantized module is INVALID, whatever its scores."""
    bench = binary_bench(tmp_path, 200, 0, 0, facts=facts(weights_digest="other"))
    candidate = one(bench.verdict(DROP))
    assert candidate.decision == "INVALID"
    assert "none of its 4 linear modules" in candidate.sentence


def test_claimed_bits_are_held_against_residence(tmp_path: Path) -> None:
    """A 4-bit claim with 16 resident bits per weight is not believed."""
    bench = binary_bench(tmp_path, 200, 0, 0, facts=QUANTIZED.model_copy(update={"bits_per_weight": 16.0}))
    quantize = {"method": "bitsandbytes", "bits": 4}
    variants = {"fp32": {"baseline": True}, "q": {"quantize": quantize}}
    assert "claims 4 bits" in one(bench.verdict(DROP, variants=variants)).sentence


def test_nan_weights_are_invalid(tmp_path: Path) -> None:
    """NaN in the loaded weights is named."""
    bench = binary_bench(tmp_path, 200, 0, 0, facts=QUANTIZED.model_copy(update={"non_finite": ("layer.0",)}))
    assert one(bench.verdict(DROP)).sentence == "1 loaded tensors hold NaN or infinity: layer.0"


def test_a_candidates_failures_count_against_it(tmp_path: Path) -> None:
    """Failed answers are wrong answers in the bound; all of them failed is INVALID."""
    bench = binary_bench(tmp_path, 300, 0, 0)
    bench.forget("q", "t")
    bench.evaluation("q", "t", answers([float("nan")] * 30 + [1.0] * 270))
    candidate = one(bench.verdict(DROP))
    assert candidate.decision == "FAIL"
    assert candidate.measures[0].failed == 30
    bench.forget("q", "t")
    bench.evaluation("q", "t", answers([float("nan")] * 300))
    assert one(bench.verdict(DROP)).decision == "INVALID"


def test_a_baselines_failure_is_invalid(tmp_path: Path) -> None:
    """With a baseline that failed on an item no candidate can be judged."""
    bench = binary_bench(tmp_path, 300, 0, 0)
    bench.forget("fp32", "t")
    bench.evaluation("fp32", "t", answers([float("nan")] + [1.0] * 299))
    candidate = one(bench.verdict(DROP))
    assert (candidate.decision, "the baseline failed on 1 of 300" in candidate.sentence) == ("INVALID", True)


@pytest.mark.parametrize("fault", ["missing", "prompt", "twice"])
def test_pairing_is_strict(tmp_path: Path, fault: str) -> None:
    """A missing partner, another prompt or a duplicate is INVALID and says at which item."""
    bench = binary_bench(tmp_path, 300, 0, 0)
    records = answers([1.0] * 300)
    if fault == "missing":
        records = records[:-1]
    elif fault == "prompt":
        records[7] = records[7].model_copy(update={"prompt_hash": "x"})
    else:
        records[8] = records[7]
    bench.forget("q", "t")
    bench.evaluation("q", "t", records)
    candidate = one(bench.verdict(DROP))
    says = {"missing": "299 items, the plan has 300", "prompt": "'i7'", "twice": "'i7' twice"}[fault]
    assert candidate.decision == "INVALID"
    assert says in candidate.sentence


def test_items_too_long_are_left_out_and_reported(tmp_path: Path) -> None:
    """Nobody was asked a prompt that does not fit: it is in no number, and a check says so."""
    bench = Bench(tmp_path)
    plan = items(150)
    plan[0] = plan[0].model_copy(update={"too_long": "2000 tokens"})
    bench.plan("t", plan)
    for name in ("fp32", "q"):
        bench.evaluation(name, "t", answers([float("nan")] + [1.0] * 149))
        bench.variant(name, ["t"], facts=facts(weights_digest=name))
    candidate = one(bench.verdict(DROP))
    assert (candidate.decision, candidate.measures[0].n) == ("PASS", 149)
    assert any("1 of 150 items are longer" in check.says for check in candidate.checks)


def test_each_slice_is_its_own_finding(tmp_path: Path) -> None:
    """`slice: each` judges every slice; an unknown slice is INVALID."""
    bench = binary_bench(tmp_path, 600, 30, 0)
    found = one(bench.verdict([{**DROP[0], "slice": "each"}])).findings
    assert [(finding.slice, finding.n) for finding in found] == [("half=a", 300), ("half=b", 300)]
    assert one(bench.verdict([{**DROP[0], "slice": "half=z"}])).findings[0].decision == "INVALID"


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ({"min": 0.5}, "PASS"),
        ({"min": 0.99}, "FAIL"),
        ({"max": 0.5}, "FAIL"),
        ({"min_recovery": 0.9}, "PASS"),
        ({"min_recovery": 0.99}, "FAIL"),
        ({"max_relative_drop": 0.1}, "PASS"),
        ({"max_relative_drop": "1%"}, "FAIL"),
        ({"min": 0.5, "on": "baseline"}, "INCONCLUSIVE"),
    ],
)
def test_every_form_on_accuracy(tmp_path: Path, gate: dict[str, object], expected: str) -> None:
    """Floors, ceilings, recovery and relative drops: 1000 items, 40 lost, none won."""
    bench = binary_bench(tmp_path, 1000, 40, 0)
    assert one(bench.verdict([{"task": "t", "metric": "acc", **gate}])).decision == expected


def test_a_broken_baseline_floor_stops_every_candidate(tmp_path: Path) -> None:
    """`on: baseline` below its floor fails the run: the candidates are compared with a bad model."""
    bench = binary_bench(tmp_path, 1000, 0, 500)
    verdict = bench.verdict([{"task": "t", "metric": "acc", "min": 0.8, "on": "baseline"}])
    assert (verdict.baseline_findings[0].decision, one(verdict).decision) == ("FAIL", "FAIL")


def test_warnings_do_not_decide(tmp_path: Path) -> None:
    """A broken limit with `severity: warn` is shown and decides nothing, so that there is no PASS either."""
    verdict = binary_bench(tmp_path, 1000, 68, 18).verdict([{**DROP[0], "severity": "warn"}])
    candidate = one(verdict)
    assert (candidate.decision, candidate.findings[0].decision) == ("INCONCLUSIVE", "FAIL")
    assert verdict.exit_code == 11
    assert "1 warning" in candidate.sentence
    assert "no blocking limit says whether it can be deployed" in verdict.sentence


def documents_bench(root: Path, count: int, extra: float) -> Bench:
    """Documents of 100 tokens at 2 nats; the candidate loses `extra` nats per token."""
    rng = np.random.default_rng(0)
    bench = Bench(root)
    bench.plan("w", items(count, bytes=400), kind="perplexity", metrics=())
    noise = rng.normal(0, 0.002, count)
    for name in ("fp32", "q"):
        records = []
        for n in range(count):
            kl = rng.exponential(0.01, 100).astype("<f4")
            score = DocumentScore(nll=200 + 100 * (extra + noise[n]) * (name == "q"), tokens=100)
            if name == "q":
                score = score.model_copy(
                    update={
                        "kl": float(kl.sum()),
                        "kl_values": base64.b64encode(kl.tobytes()).decode(),
                        "top1_agree": 94 + n % 3,
                        "delta_p": -0.1,
                        "delta_p_squared": 0.2,
                    }
                )
            records.append(ItemRecord(item=f"i{n}", prompt_hash=f"h{n}", document=score, metrics={}))
        bench.evaluation(name, "w", records)
        bench.variant(name, ["w"], facts=facts(weights_digest=name))
    return bench


@pytest.mark.parametrize(
    ("count", "extra", "expected"), [(40, 0.001, "PASS"), (40, 0.05, "FAIL"), (19, 0.05, "INCONCLUSIVE")]
)
def test_perplexity_gate(tmp_path: Path, count: int, extra: float, expected: str) -> None:
    """The document is the unit, and under 20 of them nothing is decided."""
    gates: list[dict[str, object]] = [{"task": "w", "metric": "perplexity", "max_increase": "2%"}]
    candidate = one(documents_bench(tmp_path, count, extra).verdict(gates))
    assert candidate.decision == expected
    if count < 20:
        assert "too few" in candidate.findings[0].reason


@pytest.mark.parametrize(
    ("metric", "gate", "expected"),
    [
        ("kl_mean", {"max": 0.02}, "PASS"),
        ("kl_mean", {"max": 0.005}, "FAIL"),
        ("kl_p99", {"max": 0.1}, "PASS"),
        ("kl_max", {"max": 0.01}, "FAIL"),
        ("top1_agreement", {"min": 0.9}, "PASS"),
        ("delta_p_rms", {"max": 0.01}, "FAIL"),
    ],
)
def test_divergence_gates(tmp_path: Path, metric: str, gate: dict[str, float], expected: str) -> None:
    """Every divergence figure can be gated; KL here is exponential with mean 0.01 nats."""
    verdict = documents_bench(tmp_path, 40, 0.0).verdict([{"task": "w", "metric": metric, **gate}])
    assert one(verdict).decision == expected
    assert sum(one(verdict).histograms[0].counts) + one(verdict).histograms[0].below == 4000


def timed(root: Path, factor: float) -> Bench:
    bench = binary_bench(root, 133, 0, 0, speed="k")

    def sample(scale: float) -> TimingSample:
        return TimingSample(
            ttft_s=0.1 * scale, end_to_end_s=0.1 * scale + 0.9 * scale, inter_token_s=(0.1 * scale,) * 9
        )

    pairs = tuple(
        TimedPair(
            order="AB",
            baseline=sample(1 + 0.01 * n),
            candidate=sample((1 + 0.01 * n) / factor * (1 + 0.001 * n)),
        )
        for n in range(10)
    )
    bench.store.save_speed(
        SpeedRecord(
            key="k",
            variant="q",
            baseline="fp32",
            host=HOST,
            measured_at=NOW,
            workloads=(WorkloadTimes(batch=1, prompt_tokens=10, new_tokens=10, pairs=pairs),),
            memory=MemoryFigures(weight_bytes=30),
            baseline_memory=MemoryFigures(weight_bytes=100),
        )
    )
    return bench


def test_speed_and_memory_gates(tmp_path: Path) -> None:
    """Ratios are candidate over baseline; a figure that cannot be had is INCONCLUSIVE, not zero."""
    bench = timed(tmp_path, 1.5)
    found = one(
        bench.verdict(
            [
                {"metric": "decode_tokens_per_s", "min_ratio": 1.2},
                {"metric": "decode_tokens_per_s", "min_ratio": 1.6},
                {"metric": "ttft_s", "max_ratio": 1.0},
                {"metric": "weight_bytes", "max_ratio": 0.35},
                {"metric": "weight_bytes", "max_ratio": 0.25},
                {"metric": "device_peak_bytes", "max_ratio": 0.5},
            ]
        )
    ).findings
    assert [each.decision for each in found] == ["PASS", "FAIL", "PASS", "PASS", "FAIL", "INCONCLUSIVE"]


def test_the_worst_decision_wins(tmp_path: Path) -> None:
    """INVALID over FAIL over INCONCLUSIVE over PASS, over gates and over candidates."""
    bench = binary_bench(tmp_path, 1000, 68, 18)
    bench.variant("dead", [], failure="its worker was killed by signal 9", facts=None)
    verdict = bench.verdict(DROP)
    assert {each.variant: each.decision for each in verdict.candidates} == {"q": "FAIL", "dead": "INVALID"}
    assert verdict.exit_code == 12
    assert "q must not be deployed" in verdict.sentence


def test_a_run_against_itself_passes(tmp_path: Path) -> None:
    """The baseline's own answers as candidate: no drop, PASS with enough items."""
    verdict = binary_bench(tmp_path, 400, 0, 0).verdict(DROP)
    assert (one(verdict).decision, one(verdict).flips) == ("PASS", ())


def test_verdict_survives_the_disk(tmp_path: Path) -> None:
    """verdict.json read back is the verdict."""
    bench = binary_bench(tmp_path, 1000, 68, 18)
    verdict = bench.verdict(DROP)
    bench.store.save_verdict(verdict)
    assert bench.store.verdict("s", "r1") == verdict


def overlap(**changes: object) -> tuple[CalibrationOverlap, ...]:
    """The candidate's calibration data beside the task's items."""
    whole = CalibrationOverlap(
        task="t", items=300, exact=0, copied=0, distance=0.4, calibration_words=20, evaluation_words=10
    )
    return (whole.model_copy(update=changes),)


def test_items_in_the_calibration_data_are_invalid(tmp_path: Path) -> None:
    """A single item that the candidate was calibrated on, word for word."""
    bench = binary_bench(tmp_path, 300, 0, 0, calibration=overlap(exact=1, exact_items=("i7",)))
    candidate = one(bench.verdict(DROP))
    assert candidate.decision == "INVALID"
    assert "1 of 300 items occur verbatim in the calibration data (i7)" in candidate.sentence


def test_gates_hold_without_copied_passages_too(tmp_path: Path) -> None:
    """Both must pass: all items, and those that share no long passage with the calibration data."""
    copied = tuple(f"i{n}" for n in range(100, 300))
    bench = binary_bench(tmp_path, 300, 1, 0, calibration=overlap(copied=200, copied_items=copied))
    gates = [{**DROP[0], "max_drop": 0.03}]
    candidate = one(bench.verdict(gates))
    assert candidate.decision == "INCONCLUSIVE"
    assert (candidate.findings[0].n, candidate.measures[0].n) == (100, 300)
    assert "without the items that share text with the calibration data" in candidate.findings[0].reason
    assert any("200 of 300 items share 13 words in a row" in check.says for check in candidate.checks)


def test_calibration_apart_is_said(tmp_path: Path) -> None:
    """Nothing in common is a check that holds, with how alike the texts are."""
    candidate = one(binary_bench(tmp_path, 300, 0, 0, calibration=overlap()).verdict(DROP))
    assert candidate.decision == "PASS"
    assert any("no item is in the calibration data; word distributions 0.40 apart" in c.says for c in candidate.checks)


def test_dequantised_weights_are_said_and_their_bits_not_held_against_them(tmp_path: Path) -> None:
    """A claim of 4 bits over decompressed weights is neither believed nor refused: quality only."""
    held = QUANTIZED.model_copy(update={"bits_per_weight": 32.0, "dequantised": "decompressed for computing"})
    quantize = {"method": "compressed-tensors", "scheme": "W8A16"}
    bench = binary_bench(tmp_path, 200, 0, 0, facts=held)
    candidate = one(bench.verdict(DROP, variants={"fp32": {"baseline": True}, "q": {"quantize": quantize}}))
    assert candidate.decision == "PASS"
    assert any("decompressed for computing" in check.says for check in candidate.checks)


@pytest.mark.parametrize("method", METHODS)
def test_no_methods_claim_holds_over_full_precision(tmp_path: Path, method: str) -> None:
    """Whatever a variant says it was quantized with: without a quantized module it is INVALID."""
    block = {"method": method, **METHODS[method].examples[0]}
    variants = {"fp32": {"baseline": True}, "q": {"quantize": block}}
    bench = binary_bench(tmp_path, 200, 0, 0, facts=facts(weights_digest="other", bits_per_weight=32.0))
    candidate = one(bench.verdict(DROP, variants=variants))
    assert candidate.decision == "INVALID"
    assert "claims to be quantized" in candidate.sentence
