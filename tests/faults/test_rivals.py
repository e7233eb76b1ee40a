"""Where a rival's gate says GO: the same input here, with the right verdict (see the issue; NeMo Evaluator's gate)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.faults.items import choices as choices_of
from tests.faults.items import picks, texts
from tests.gates.handmade import Bench, answers, binary_bench, items, one

ONE_POINT: list[dict[str, object]] = [{"task": "t", "metric": "acc", "max_drop": 0.01}]


@pytest.mark.fault("N1", "10 items, no flip, a limit of 1 pp", "INCONCLUSIVE: up to 21 pp could be lost")
def test_ten_items_without_a_flip_certify_no_point(tmp_path: Path) -> None:
    """10 identical answers leave room for 21 pp, so they decide nothing; neither do texts."""
    gold = [n % 4 for n in range(10)]
    chosen = [*gold[:8], (gold[8] + 1) % 4, (gold[9] + 1) % 4]
    bench = choices_of(tmp_path / "c", {"fp32": picks(chosen, seed=1), "q": picks(chosen, seed=2)}, gold)
    verdict = bench.verdict(ONE_POINT)
    finding = one(verdict).findings[0]
    assert (verdict.exit_code, finding.decision) == (11, "INCONCLUSIVE")
    assert finding.upper == pytest.approx(0.213, abs=5e-4)
    said = [f"answer {n}" for n in range(10)]
    scores = [1.0] * 8 + [0.0] * 2
    bench = texts(tmp_path / "t", {"fp32": said, "q": said}, {"fp32": scores, "q": scores})
    assert bench.verdict([{**ONE_POINT[0], "metric": "exact_match"}]).exit_code == 11


@pytest.mark.fault("N2", "0 of 10 against 0 of 10", "INVALID: nothing to lose")
@pytest.mark.parametrize("metric", ["exact_match", "contains", "f1", "mean_reward"])
def test_nothing_against_nothing_is_invalid(tmp_path: Path, metric: str) -> None:
    """0/10 beside 0/10 shows nothing."""
    said = [f"answer {n}" for n in range(10)]
    bench = texts(tmp_path, {"fp32": said, "q": said}, {"fp32": np.zeros(10), "q": np.zeros(10)}, metric=metric)
    verdict = bench.verdict([{**ONE_POINT[0], "metric": metric}])
    assert (verdict.exit_code, one(verdict).findings[0].code) == (12, "at_zero")


@pytest.mark.fault("N3", "a candidate that answered none of the tasks, with gates and without", "INVALID")
@pytest.mark.parametrize("gates", [ONE_POINT, []])
def test_no_task_in_common_is_invalid(tmp_path: Path, gates: list[dict[str, object]]) -> None:
    """The baseline answered `t`, the candidate nothing: it could not be compared, whatever the gates ask."""
    bench = binary_bench(tmp_path, 200, 0, 0)
    bench.variant("q", [], facts=bench.variants["q"].facts, must_be_quantized=True)
    verdict = bench.verdict(gates)
    assert verdict.exit_code == 12
    assert "not evaluated: t" in one(verdict).sentence


@pytest.mark.fault("N4", "a candidate that answered half of the items", "INVALID, and it says how many are missing")
def test_half_of_the_items_is_invalid(tmp_path: Path) -> None:
    """50 of 100 answers are not paired as if the others had not been asked."""
    bench = Bench(tmp_path)
    bench.plan("t", items(100))
    bench.evaluation("fp32", "t", answers([1.0] * 100))
    bench.evaluation("q", "t", answers([1.0] * 50))
    bench.variant("fp32", ["t"])
    bench.variant("q", ["t"], facts=binary_bench(tmp_path / "other", 10, 0, 0).variants["q"].facts)
    verdict = bench.verdict([{**ONE_POINT[0], "max_drop": 0.5}])
    assert verdict.exit_code == 12
    assert "has 50 items, the plan has 100" in one(verdict).sentence


@pytest.mark.fault("N5", "rewards that are not numbers, of the candidate, the baseline or both", "INVALID")
@pytest.mark.parametrize("whose", [("q",), ("fp32",), ("fp32", "q")])
def test_nan_is_invalid(tmp_path: Path, whose: tuple[str, ...]) -> None:
    """NaN straddles nothing: nobody knows what was scored."""
    values = {side: [float("nan")] * 200 if side in whose else [1.0] * 200 for side in ("fp32", "q")}
    said = [f"answer {n}" for n in range(200)]
    bench = texts(tmp_path, {"fp32": said, "q": said}, values)
    assert bench.verdict([{**ONE_POINT[0], "metric": "exact_match", "max_drop": 0.5}]).exit_code == 12


@pytest.mark.fault("N5", "scores that are not numbers on half of the candidate's items, under a wide limit", "INVALID")
def test_nan_on_half_is_invalid(tmp_path: Path) -> None:
    """Half of the answers are counted as wrong within no limit; a few are, and named."""
    said = [f"answer {n}" for n in range(200)]
    whole = np.full(200, 0.9)
    for part, code in ((2, 12), (50, 0)):
        partly = np.where(np.arange(200) % part == 0, np.nan, whole)
        bench = texts(tmp_path / str(part), {"fp32": said, "q": said}, {"fp32": whole, "q": partly}, metric="f1")
        assert bench.verdict([{**ONE_POINT[0], "metric": "f1", "max_drop": 0.6}]).exit_code == code


@pytest.mark.fault(
    "kind: blind", "a candidate with one text on all items but one, and scores that do not mind", "INVALID"
)
def test_one_answer_on_nearly_all_items_is_no_pass(tmp_path: Path) -> None:
    """299 times the same beside a baseline that says something else each time; a usual answer of both sides is none."""
    scores = np.random.default_rng(0).uniform(0.2, 0.4, 300)
    varied, same = [f"answer {n}" for n in range(300)], ["the"] * 299 + ["of"]
    gates: list[dict[str, object]] = [{"task": "t", "metric": "f1", "max_drop": 0.05}]
    for place, (baseline, code) in enumerate(((varied, 12), (["the"] * 290 + ["of"] * 10, 0))):
        sides = {"fp32": baseline, "q": same}
        bench = texts(tmp_path / str(place), sides, {"fp32": scores, "q": scores}, metric="f1")
        verdict = bench.verdict(gates)
        assert (verdict.exit_code, one(verdict).findings[0].code == "candidate_one_answer") == (code, code == 12)
