"""Metrics of other libraries: ROUGE, BLEU and chrF as they define them, lm-eval's and `evaluate`'s by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from harness.engines.protocol import Generation
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.records.items import Scored

LoadSuite = Callable[..., Any]
WriteRows = Callable[..., str]
REFERENCES = [["the cat sat on the mat", "a cat was sitting on a mat"], ["it rained all day"], ["Nobody came."]]
ANSWERS = ["the cat sat", "it rained and rained all day long", "somebody came"]
LENGTH = """
import datasets
import evaluate


class Length(evaluate.Metric):
    def _info(self):
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions, references):
        return {"apart": abs(len(predictions[0]) - len(references[0])), "parts": [1, 2]}
"""


@pytest.fixture
def planned(suite_of: LoadSuite, write_rows: WriteRows) -> Callable[..., TaskPlan]:
    """A plan of three items with these metrics."""

    def plan(metric: object, references: Any = REFERENCES, **more: object) -> TaskPlan:
        write_rows("rows.jsonl", [{"text": f"Item {n}", "good": each} for n, each in enumerate(references)])
        spec = {"data": "rows.jsonl", "prompt": "{{text}}:", "answer": "{{good}}", "metric": metric}
        loaded = suite_of({"t": {"generate": spec}}, **more)
        (found,) = plan_suite(loaded, ScriptedTokenizer(), context_length=None)
        return found

    return plan


def values(plan: TaskPlan, index: int) -> dict[str, float]:
    record = plan.score(index, [Generation(text=ANSWERS[index], tokens=(1,), finish="stop")])
    return {name: each.value for name, each in record.metrics.items() if isinstance(each, Scored)}


def test_rouge_bleu_and_chrf_are_their_libraries(planned: Callable[..., TaskPlan]) -> None:
    """Of several references the best counts, as rouge-score's `score_multi` has it; BLEU and chrF as fractions."""
    names = ["rouge1", "rouge2", "rougeL", "sentence_bleu", "sentence_chrf"]
    plan = planned(names)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for index, (answer, references) in enumerate(zip(ANSWERS, REFERENCES, strict=True)):
        expected = {name: each.fmeasure for name, each in scorer.score_multi(references, answer).items()}
        bleu, chrf = sacrebleu.BLEU(effective_order=True), sacrebleu.CHRF()
        expected["sentence_bleu"] = max(bleu.sentence_score(answer, [each]).score for each in references) / 100
        expected["sentence_chrf"] = chrf.sentence_score(answer, references).score / 100
        assert values(plan, index) == pytest.approx(expected)


def test_a_reference_that_rouge_cannot_read_is_refused(planned: Callable[..., TaskPlan]) -> None:
    """rouge-score compares a–z and digits; of other scripts nothing is left and everything would score 0."""
    with pytest.raises(SuiteError, match=r"'こんにちは' has none of what rouge1 compares: letters a–z and digits"):
        planned("rouge1", [["こんにちは"]])
    assert planned("sentence_chrf", [["こんにちは"]]).metrics == ("sentence_chrf",)


def test_a_metric_of_lm_eval_by_name(planned: Callable[..., TaskPlan]) -> None:
    """Called as lm-eval calls it for a generated answer; those that it does not average are refused."""
    plan = planned("lm_eval:exact_match", [["the cat sat"], ["no"], ["no", "somebody came"]])
    assert [values(plan, index) for index in range(3)] == [
        {"lm_eval:exact_match": 1.0}, {"lm_eval:exact_match": 0.0}, {"lm_eval:exact_match": 1.0}
    ]  # fmt: skip
    with pytest.raises(SuiteError, match="lm-eval has no metric 'exact_mach', did you mean exact_match"):
        planned("lm_eval:exact_mach")
    with pytest.raises(SuiteError, match=r"bleu is no mean over items in lm-eval.*: write metric: bleu"):
        planned("lm_eval:bleu")


def test_a_metric_of_evaluate_from_a_folder(planned: Callable[..., TaskPlan], tmp_path: Path) -> None:
    """It is Python: it runs where the suite allows it, and the suite says which way is better. Numbers only count."""
    (tmp_path / "length").mkdir()
    (tmp_path / "length" / "length.py").write_text(LENGTH)
    plan = planned("evaluate:length:lower", allow_task_code=True)
    assert (plan.metrics, plan.lower_is_better) == (("evaluate:length",), ("evaluate:length",))
    assert values(plan, 0) == {"evaluate:length": 11.0}
    with pytest.raises(SuiteError, match="allow_task_code: true"):
        planned("evaluate:length:lower")
    with pytest.raises(SuiteError, match="evaluate does not say which way is better; write evaluate:length:higher or"):
        planned("evaluate:length", allow_task_code=True)


def test_a_name_that_is_nothing(planned: Callable[..., TaskPlan]) -> None:
    """A misspelt metric names those there are, and how one's own is written."""
    with pytest.raises(SuiteError, match=r"unknown metric 'rouge'.*expected one of .*rougeL"):
        planned("rouge")
    with pytest.raises(SuiteError, match=r"a function of your own is FILE\.py:NAME"):
        planned("metrics.score:py")
