"""Gates on metrics of the whole: judged from stored options and parts, explained, listed, held to their floor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from sklearn.metrics import cohen_kappa_score, f1_score, matthews_corrcoef

from harness import api
from harness.comparison import compare_run
from harness.gates import judge
from harness.metrics.corpus import whole_metric
from harness.metrics.row import OfTexts
from harness.records.findings import Finding
from harness.records.items import Failed, ItemRecord, OptionAnswer, PlannedItem, TextAnswer, outcome
from harness.records.verdict import Verdict
from harness.suite.models import Suite
from tests.explanations.saved import OPTIONS, findings, judged, questions, replies
from tests.gates.handmade import NOW, QUANTIZED, Bench

WORDS = ("the", "cat", "sat", "on", "a", "mat", "while", "it", "rained", "and", "nobody", "came", "to", "see", "her")


def chosen(records: list[ItemRecord]) -> list[int]:
    return [int(np.argmax([option.log_likelihood or 0.0 for option in record.options])) for record in records]


def choice_bench(root: Path, *, n: int = 300, noise: float = 0.3, clusters: int = 0) -> tuple[Bench, list[list[int]]]:
    """A task of three options, and what both sides chose beside what is right."""
    rng = np.random.default_rng(1)
    bench, plan = Bench(root), questions("t", n, rng, clusters=clusters)
    base = rng.normal(size=(n, 3))
    base[np.arange(n), np.arange(n) % 3] += 1.5
    sides = [replies(plan, rng, spread, base) for spread in (0.0, noise)]
    bench.plan("t", plan, metrics=("acc", "f1"))
    for variant, records in zip(("fp32", "q"), sides, strict=True):
        bench.evaluation(variant, "t", records)
        bench.variant(variant, ["t"], **({} if variant == "fp32" else {"facts": QUANTIZED, "must_be_quantized": True}))
    return bench, [[n % 3 for n in range(n)], *map(chosen, sides)]


def of(verdict: Verdict, metric: str, form: str) -> Finding:
    return next(each for each in findings(verdict) if (each.metric, each.form) == (metric, form))


def test_f1_mcc_and_kappa_of_stored_options(tmp_path: Path) -> None:
    """A run that stored no such metric is judged by them: values as scikit-learn has them, bounds around them."""
    bench, (wanted, left, right) = choice_bench(tmp_path)
    gates = [
        {"task": "t", "metric": "macro_f1", "max_drop": 0.1},
        {"task": "t", "metric": "mcc", "min": 0.2},
        {"task": "t", "metric": "kappa", "min_recovery": 0.5},
        {"task": "t", "metric": "macro_f1", "max_relative_drop": 0.3, "slice": "each"},
    ]
    verdict = judged(bench, gates)
    drop = of(verdict, "macro_f1", "max_drop")
    expected = f1_score(wanted, left, average="macro") - f1_score(wanted, right, average="macro")
    assert drop.value == pytest.approx(expected)
    bounds = [each for each in (drop.lower, drop.value, drop.upper) if each is not None]
    assert bounds == sorted(bounds)
    assert len(bounds) == 3
    assert bounds[2] < 0.1
    assert drop.decision == "PASS"
    assert "paired bootstrap over items" in drop.reason
    level = of(verdict, "mcc", "min")
    assert level.value == pytest.approx(matthews_corrcoef(wanted, right))
    kept = of(verdict, "kappa", "min_recovery")
    assert kept.value == pytest.approx(cohen_kappa_score(wanted, right) / cohen_kappa_score(wanted, left))
    slices = [each for each in findings(verdict) if each.form == "max_relative_drop"]
    assert [each.slice for each in slices] == ["half=a", "half=b"]
    (candidate,) = verdict.candidates
    asked = {each.metric: len(each.slices) for each in candidate.measures if each.kind == "corpus"}
    assert asked == {"macro_f1": 2, "mcc": 2, "kappa": 2}
    assert verdict.baseline_measures["t/mcc"] == pytest.approx(matthews_corrcoef(wanted, left))
    unasked = judged(bench, [{"task": "t", "metric": "acc", "max_drop": 0.1}])
    assert not [each for each in unasked.candidates[0].measures if each.kind == "corpus"]


def test_it_is_explained(tmp_path: Path) -> None:
    """Values, draws and bounds, that end in the finding's own bounds."""
    bench, _ = choice_bench(tmp_path, clusters=60)
    for gate in ({"max_drop": 0.1}, {"min": 0.3}, {"min_recovery": 0.6}):
        verdict = judged(bench, [{"task": "t", "metric": "macro_f1", **gate}])
        (finding,) = findings(verdict)
        (found,) = api.explain("r1", "0", results=tmp_path)
        symbols = {step.symbol: step.value for part in found.sections for step in part.steps}
        assert "Bayesian bootstrap" in found.method
        assert symbols["G"] is not None
        assert (symbols["L"], symbols["U"]) == pytest.approx((finding.lower, finding.upper))


def test_clusters_widen_and_few_decide_nothing(tmp_path: Path) -> None:
    """Items of one cluster are one unit; under 20 units the gate is INCONCLUSIVE and says why."""
    found = {}
    for clusters in (0, 40, 8):
        bench, _ = choice_bench(tmp_path / str(clusters), clusters=clusters)
        found[clusters] = of(judged(bench, [{"task": "t", "metric": "mcc", "max_drop": 0.2}]), "mcc", "max_drop")
    widths = {each: (finding.upper or 0) - (finding.lower or 0) for each, finding in found.items()}
    assert widths[40] > widths[0]
    assert found[8].decision == "INCONCLUSIVE"
    assert "only 8 clusters" in found[8].reason


def test_the_same_answers_are_no_certainty(tmp_path: Path) -> None:
    """A candidate that equals the baseline on 60 items may still have lost a class: no PASS at a tight limit."""
    bench, _ = choice_bench(tmp_path, n=60, noise=0.0)
    tight, loose = ([{"task": "t", "metric": "macro_f1", "max_drop": limit}] for limit in (0.02, 0.2))
    assert of(judged(bench, tight), "macro_f1", "max_drop").decision == "INCONCLUSIVE"
    assert of(judged(bench, loose), "macro_f1", "max_drop").decision == "PASS"


def test_a_failed_answer_is_a_wrong_one(tmp_path: Path) -> None:
    """A candidate without finite likelihoods loses these items; a baseline without them makes the gate INVALID."""
    bench, _ = choice_bench(tmp_path)
    rng = np.random.default_rng(1)
    plan = questions("t", 300, rng)
    base = rng.normal(size=(300, 3))
    base[np.arange(300), np.arange(300) % 3] += 1.5
    records = replies(plan, rng, 0.0, base)
    broken = [
        record.model_copy(
            update={
                "options": tuple(OptionAnswer(log_likelihood=None, tokens=1, greedy=False) for _ in OPTIONS),
                "metrics": {name: Failed(stage="score", error="no") for name in record.metrics},
            }
        )
        if place < 30
        else record
        for place, record in enumerate(records)
    ]
    gates = [{"task": "t", "metric": "macro_f1", "max_drop": 0.5}]
    whole = of(judged(bench, gates), "macro_f1", "max_drop").value
    bench.evaluation("q", "t", broken, weights="other")
    bench.variant("q", ["t"], facts=QUANTIZED, must_be_quantized=True)
    finding = of(judged(bench, gates), "macro_f1", "max_drop")
    assert finding.value is not None
    assert whole is not None
    assert finding.value > whole
    assert "30 of its answers failed and count as its worst" in finding.reason


def test_nothing_to_lose(tmp_path: Path) -> None:
    """A baseline that gives one answer has an MCC of 0: a limit on its loss shows nothing. Nor does a limit that one
    answer to everything would hold."""
    bench, _ = choice_bench(tmp_path / "a")
    loose = of(judged(bench, [{"task": "t", "metric": "mcc", "max_drop": 0.9}]), "mcc", "max_drop")
    assert (loose.decision, loose.code) == ("INVALID", "blind_limit")
    rng = np.random.default_rng(1)
    plan, constant = questions("t", 90, rng), Bench(tmp_path / "b")
    records = replies(plan, rng, 0.0, np.tile([2.0, 0.0, 0.0], (90, 1)))
    constant.plan("t", plan, metrics=("acc", "f1"))
    for variant in ("fp32", "q"):
        constant.evaluation(variant, "t", records)
    constant.variant("fp32", ["t"])
    constant.variant("q", ["t"], facts=QUANTIZED, must_be_quantized=True)
    floor = of(judged(constant, [{"task": "t", "metric": "mcc", "max_drop": 0.1}]), "mcc", "max_drop")
    assert (floor.decision, floor.code) == ("INVALID", "at_chance")


def test_options_that_differ_by_item_are_no_classes(tmp_path: Path) -> None:
    """Contents as options have no F1 over classes, and the gate says so."""
    rng, bench = np.random.default_rng(2), Bench(tmp_path)
    plan = [
        each.model_copy(update={"options": (f"yes {n}", f"no {n}", "maybe"), "expected": f"yes {n}"})
        for n, each in enumerate(questions("t", 40, rng))
    ]
    records = replies(questions("t", 40, rng), rng, 0.0, rng.normal(size=(40, 3)))
    bench.plan("t", plan, metrics=("acc", "f1"))
    for variant in ("fp32", "q"):
        bench.evaluation(variant, "t", records)
    bench.variant("fp32", ["t"])
    bench.variant("q", ["t"], facts=QUANTIZED, must_be_quantized=True)
    finding = of(judged(bench, [{"task": "t", "metric": "macro_f1", "max_drop": 0.1}]), "macro_f1", "max_drop")
    assert finding.decision == "INVALID"
    assert "no options that are the same for every item" in finding.reason


def sentence(rng: np.random.Generator, length: int) -> str:
    return " ".join(rng.choice(WORDS, length))


def spoiled(rng: np.random.Generator, text: str, share: float) -> str:
    return " ".join(word if rng.random() > share else "zzz" for word in text.split())


def text_bench(root: Path, metric: str) -> tuple[Bench, list[list[str]]]:
    """A task of generated answers with their parts, as a run stores them."""
    rng, n = np.random.default_rng(3), 120
    row = whole_metric("generate", metric)
    assert row is not None
    assert isinstance(row.computed, OfTexts)
    wanted = [sentence(rng, int(rng.integers(5, 15))) for _ in range(n)]
    sides = [[spoiled(rng, each, share) for each in wanted] for share in (0.1, 0.25)]
    bench = Bench(root)
    plan = [
        PlannedItem(item=f"i{n}", index=n, prompt_hash=f"h{n}", prompt="p", expected=each, slices={"half": "ab"[n % 2]})
        for n, each in enumerate(wanted)
    ]
    bench.plan("t", plan, kind="generate", metrics=("sentence_chrf",))
    bench.tasks["t"] = bench.tasks["t"].model_copy(update={"whole": (metric,)})
    for variant, texts in zip(("fp32", "q"), sides, strict=True):
        records = [
            ItemRecord(
                item=f"i{place}",
                prompt_hash=f"h{place}",
                answer=TextAnswer(text=text, tokens=3, finish="stop"),
                parts={metric: row.computed.parts(text, [wanted[place]])},
                metrics={"sentence_chrf": outcome(0.5)},
            )
            for place, text in enumerate(texts)
        ]
        bench.evaluation(variant, "t", records)
        bench.variant(variant, ["t"], **({} if variant == "fp32" else {"facts": QUANTIZED, "must_be_quantized": True}))
    return bench, [wanted, *sides]


@pytest.mark.parametrize("metric", ["bleu", "chrf", "ter"])
def test_corpus_scores_of_stored_parts(tmp_path: Path, metric: str) -> None:
    """Values on the whole are sacrebleu's own; reports list them with their slices; a loss beyond the limit FAILs."""
    bench, (wanted, left, right) = text_bench(tmp_path, metric)
    task = {"t": {"generate": {"data": "d", "prompt": "p", "answer": "{{a}}", "metric": metric}}}
    suite = Suite.model_validate(
        {
            "suite": "s", "model": "m", "variants": {"fp32": {"baseline": True}, "q": {}}, "tasks": task,
            "gates": [{"task": "t", "metric": metric, "max_drop": 0.05}],
        }
    )  # fmt: skip
    verdict = judge(suite, compare_run(bench.store, bench.manifest()), judged_at=NOW)
    library = {"bleu": sacrebleu.BLEU, "chrf": sacrebleu.CHRF, "ter": sacrebleu.TER}[metric]()
    scores = [library.corpus_score(texts, [wanted]).score / 100 for texts in (left, right)]
    (measure,) = [each for each in verdict.candidates[0].measures if each.kind == "corpus"]
    assert (measure.baseline, measure.candidate) == pytest.approx(scores)
    assert [each.slice for each in measure.slices] == ["half=a", "half=b"]
    finding = of(verdict, metric, "max_drop")
    assert finding.value == pytest.approx(scores[0] - scores[1] if metric != "ter" else scores[1] - scores[0])
    assert finding.decision == "FAIL"
