"""Brier scores of choices from stored log-likelihoods, against plain loops and lm-eval's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest

from harness.records.items import ItemRecord, OptionAnswer, PlannedItem, outcome
from harness.records.verdict import CandidateVerdict
from tests.gates.handmade import QUANTIZED, Bench, one

Likelihoods = Sequence[Sequence[float | None]]
TEXTS = ("no", "yes indeed", "perhaps", "never")


def bench_of(root: Path, baseline: Likelihoods, candidate: Likelihoods, *, same_text: bool = False) -> Bench:
    """The right option of item n is its n-th, of as many as the baseline's item has."""
    bench, items = Bench(root), []
    for n, each in enumerate(baseline):
        texts = (*TEXTS[: len(each) - 1], TEXTS[n % (len(each) - 1)]) if same_text else TEXTS[: len(each)]
        items.append(
            PlannedItem(
                item=f"i{n}", index=n, prompt_hash=f"h{n}", prompt="p", options=texts, expected=texts[n % len(texts)],
                slices={"half": "ab"[n % 2]},
            )
        )  # fmt: skip
    bench.plan("pick", items)
    for name, side in (("fp32", baseline), ("q", candidate)):
        records = [
            ItemRecord(
                item=f"i{n}",
                prompt_hash=f"h{n}",
                options=tuple(OptionAnswer(log_likelihood=value, tokens=1, greedy=False) for value in each),
                metrics={"acc": outcome(float("nan") if None in each else 1.0)},
            )
            for n, each in enumerate(side)
        ]
        bench.evaluation(name, "pick", records[::-1] if name == "q" else records)
    bench.variant("fp32", ["pick"])
    bench.variant("q", ["pick"], facts=QUANTIZED, must_be_quantized=True)
    return bench


def drawn(count: int, seed: int, moved: float) -> tuple[Likelihoods, Likelihoods]:
    """Items of one to four options; both sides of the same item are near each other."""
    rng = Random(seed)
    left = [[-9 * rng.random() for _ in range(1 + n % 4)] for n in range(count)]
    return left, [[value + rng.gauss(0, moved) for value in each] for each in left]


def score(values: Sequence[float | None], right: int, lengths: Sequence[int] | None = None) -> float:
    """The definition, option by option."""
    logs = [float(value or 0) / (lengths[k] if lengths else 1) for k, value in enumerate(values)]
    total = sum(math.exp(each) for each in logs)
    return sum((math.exp(each) / total - (k == right)) ** 2 for k, each in enumerate(logs)) / 2


def judged(bench: Bench, **gate: object) -> CandidateVerdict:
    asked = {"task": "pick", "metric": "brier", "max_drop": 0.02, **gate}
    return one(bench.verdict([{key: value for key, value in asked.items() if value is not None}]))


@pytest.mark.parametrize(("metric", "lengths"), [("brier", None), ("brier_norm", [len(text) for text in TEXTS])])
def test_a_plain_loop_gives_the_same(tmp_path: Path, metric: str, lengths: list[int] | None) -> None:
    """Items with different numbers of options, one of them included; less is better."""
    sides = drawn(80, 7, 0.4)
    found = judged(bench_of(tmp_path, *sides), metric=metric)
    (measure,) = [each for each in found.measures if each.metric == metric]
    left, right = ([score(each, n % len(each), lengths) for n, each in enumerate(side)] for side in sides)
    assert (measure.baseline, measure.candidate) == pytest.approx((np.mean(left), np.mean(right)), abs=1e-12)
    assert measure.change == pytest.approx(np.mean(right) - np.mean(left), abs=1e-12)
    assert (measure.kind, measure.higher_is_better, measure.n) == ("graded", False, 80)


def test_twice_of_it_is_lm_evals(tmp_path: Path) -> None:
    """lm-eval sums over the options, from 0 to 2."""
    from lm_eval.api.metrics import brier_score
    from lm_eval.utils import softmax

    left, right = drawn(120, 3, 0.5)
    left, right = ([each for each in side if len(each) == 4] for side in (left, right))
    found = judged(bench_of(tmp_path, left, right))
    (measure,) = [each for each in found.measures if each.metric == "brier"]
    theirs = brier_score([(n % 4, softmax(np.asarray(each))) for n, each in enumerate(left)])
    assert 2 * float(measure.baseline or 0) == pytest.approx(theirs, abs=1e-12)


def test_swapped_sides_negate_the_change(tmp_path: Path) -> None:
    """And a run against itself does not change."""
    left, right = drawn(60, 5, 0.4)
    changes = []
    for name, sides in (("one", (left, right)), ("other", (right, left)), ("same", (left, left))):
        found = judged(bench_of(tmp_path / name, *sides))
        changes += [each.change for each in found.measures if each.metric == "brier"]
    assert changes[0] == pytest.approx(-float(changes[1] or 0), abs=1e-12)
    assert changes[2] == 0


def test_an_option_without_a_finite_likelihood_is_the_worst_answer(tmp_path: Path) -> None:
    """Of the candidate it counts 1, as a confident mistake; of the baseline the comparison is unsound."""
    left, _ = drawn(60, 5, 0.0)
    broken = [list(each) for each in left]
    broken[3][0] = None
    found = judged(bench_of(tmp_path / "q", left, broken))
    (measure,) = [each for each in found.measures if each.metric == "brier"]
    assert measure.failed == 1
    assert measure.change == pytest.approx((1 - score(left[3], 3)) / 60, abs=1e-12)
    assert judged(bench_of(tmp_path / "b", broken, left)).decision == "INVALID"


def test_what_leaves_no_choice_has_none(tmp_path: Path) -> None:
    """Tasks of single options, where every probability is 1, have no Brier score; the gate says that."""
    single = [[-1.0]] * 30
    found = judged(bench_of(tmp_path, single, single))
    assert "brier" not in {each.metric for each in found.measures}
    assert found.findings[0].decision != "PASS"


def test_options_with_the_right_text_are_one(tmp_path: Path) -> None:
    """Whichever of the equal texts the model prefers, it answers the question; ties are no special case."""
    left = [[-1.0, -2.0, -1.5]] * 40
    bench = bench_of(tmp_path, left, [[each[2], each[1], each[0]] for each in left], same_text=True)
    (measure,) = [each for each in judged(bench).measures if each.metric == "brier"]
    chance = [math.exp(each) / sum(map(math.exp, left[0])) for each in left[0]]
    expected = []
    for n in range(40):
        texts = (*TEXTS[:2], TEXTS[n % 2])
        equal = [text == texts[n % 3] for text in texts]
        hit = sum(each for each, right in zip(chance, equal, strict=True) if right)
        missed = sum(each**2 for each, right in zip(chance, equal, strict=True) if not right)
        expected.append(((1 - hit) ** 2 + missed) / 2)
    assert measure.baseline == pytest.approx(np.mean(expected), abs=1e-12)


def test_gates_on_it(tmp_path: Path) -> None:
    """A loss of calibration FAILs though no choice flips; a floor that is far is held."""
    left = [[-1.0, -2.0] if n % 2 == 0 else [-2.0, -1.0] for n in range(200)]
    unsure = [[-1.0, -1.1] if n % 2 == 0 else [-1.1, -1.0] for n in range(200)]
    bench = bench_of(tmp_path, left, unsure)
    assert judged(bench).findings[0].decision == "FAIL"
    assert judged(bench, max_drop=None, max=0.5).findings[0].decision == "PASS"


def calibration_error(side: Likelihoods) -> float:
    """The definition, bin by bin."""
    total = 0.0
    seen = []
    for n, each in enumerate(side):
        chances = [math.exp(float(value or 0)) for value in each]
        sure = max(chances) / sum(chances)
        seen.append((sure, chances.index(max(chances)) == n % len(each)))
    for low in range(10):
        inside = [each for each in seen if min(9, int(10 * each[0])) == low]
        total += abs(sum(sure for sure, _ in inside) - sum(right for _, right in inside))
    return total / len(seen)


def test_the_calibration_error_is_that_of_a_plain_loop(tmp_path: Path) -> None:
    """A gate on it is judged by the bootstrap; on a slice it is the slice's own."""
    left, right = drawn(400, 11, 2.0)
    bench = bench_of(tmp_path, left, right)
    finding = judged(bench, metric="ece", max_drop=0.5).findings[0]
    expected = calibration_error(right) - calibration_error(left)
    assert finding.value == pytest.approx(expected, abs=1e-12)
    assert finding.lower is not None
    assert finding.upper is not None
    assert finding.lower <= expected <= finding.upper
    own = judged(bench, metric="ece", max_drop=None, max=0.9).findings[0]
    assert own.decision == "PASS"
    assert own.value == pytest.approx(calibration_error(right), abs=1e-12)
    same = judged(bench_of(tmp_path / "same", left, left), metric="ece", max_drop=0.5).findings[0]
    assert same.value == 0


def test_a_candidate_without_likelihoods_is_certain_and_wrong(tmp_path: Path) -> None:
    """It raises the calibration error; it never leaves the items out."""
    left = [[-1.0, -1.0 + 0.1 * (n % 7)] for n in range(100)]
    broken: Likelihoods = [[None, None] for _ in left]
    finding = judged(bench_of(tmp_path, left, broken), metric="ece", max_drop=0.5).findings[0]
    assert finding.decision in ("FAIL", "INVALID")


def test_a_limit_that_guessing_would_hold_shows_nothing(tmp_path: Path) -> None:
    """A baseline that is no better than equal probabilities has no Brier score to lose."""
    level = [[-1.0, -1.0, -1.0, -1.0]] * 60
    found = judged(bench_of(tmp_path, level, level)).findings[0]
    assert (found.decision, found.code) == ("INVALID", "at_chance")
