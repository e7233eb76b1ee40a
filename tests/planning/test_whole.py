"""Metrics of the whole from plan to pairs: their values are lm-eval's own aggregations, and short forms have them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from harness.engines.protocol import ContinuationScore, Generation
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.lm_eval.lm_eval_tasks import lm_eval_docs
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.records.items import ItemRecord, Scored
from harness.records.parse import read_items, read_plan
from harness.records.store import Store
from harness.samples.pairs import align, pair_items
from harness.samples.whole_pairs import WholePairs, whole_pairs

LoadSuite = Callable[..., Any]
WriteRows = Callable[..., str]
WORDS = ("the", "cat", "sat", "on", "a", "mat", "while", "it", "rained", "all", "day")
COMMON = """
task: whole
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
doc_to_text: "{{{{q}}}}"
"""
CHOICE = """
output_type: multiple_choice
doc_to_choice: ["no", "yes"]
doc_to_target: "{{{{a}}}}"
metric_list:
  - {{metric: f1}}
  - {{metric: mcc}}
"""
TEXT = """
output_type: generate_until
doc_to_target: "{{{{ref}}}}"
generation_kwargs: {{until: ["\\n"], do_sample: false, max_gen_toks: 12}}
metric_list:
  - {{metric: bleu}}
  - {{metric: chrf}}
  - {{metric: ter}}
"""


def answer_to(number: int) -> str:
    return " ".join(WORDS[(number * 3 + place * (1 + number % 2)) % 11] for place in range(3 + number % 6))


def likelihoods(number: int) -> tuple[float, float]:
    return (-1.0 - (number * 7 % 10) / 10, -1.0 - (number * 3 % 10) / 10)


@pytest.fixture
def local(tmp_path: Path, suite_of: LoadSuite) -> Callable[[str], Any]:
    """A suite with a task of lm-eval's that aggregates by more than a mean."""

    def load(kind: str) -> Any:
        rows = [
            {"q": f"Question {n}?", "a": int(n * 5 % 7 > 3), "ref": " ".join(WORDS[(n + k) % 11] for k in range(6))}
            for n in range(24)
        ]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "task.yaml").write_text((COMMON + kind).format(folder=tmp_path))
        return suite_of({"t": {"lm_eval": "task.yaml"}})

    return load


def theirs(loaded: Any) -> dict[str, float]:
    """lm-eval's own evaluator, with a model that gives these answers."""
    from lm_eval.api.model import LM
    from lm_eval.evaluator import evaluate

    class Fixed(LM):  # type: ignore[misc]  # lm-eval has no types
        def loglikelihood(self, requests: Sequence[Any], **_: object) -> list[tuple[float, bool]]:
            found = []
            for each in requests:
                number = int(each.args[0].split()[1].rstrip("?"))
                found.append((likelihoods(number)[int("yes" in each.args[1])], False))
            return found

        def generate_until(self, requests: Sequence[Any], **_: object) -> list[str]:
            return [answer_to(int(each.args[0].split()[1].rstrip("?"))) for each in requests]

        def loglikelihood_rolling(self, requests: Sequence[Any], **_: object) -> list[float]:
            raise NotImplementedError

    task = lm_eval_docs(loaded, "t", loaded.suite.tasks["t"]).task
    found = evaluate(lm=Fixed(), task_dict={task.config.task: task}, bootstrap_iters=0)
    return {key.split(",")[0]: value for key, value in found["results"]["whole"].items() if isinstance(value, float)}


def whole_of(plan: TaskPlan, records: list[ItemRecord], root: Path) -> dict[str, WholePairs]:
    """The metrics of the whole of these records against themselves, through what is stored."""
    store = Store(root)
    store.chunks("k").append(records)
    columns = read_plan(BytesIO(b"".join(each.model_dump_json().encode() + b"\n" for each in plan.items)))
    parts = plan.whole if plan.kind == "generate" else ()
    side = align(columns, read_items(store.chunks("k"), plan.metrics, parts))
    pairs = pair_items("t", columns, side, side, names=("one", "other"))
    return {each.metric: each for each in whole_pairs("t", plan.kind, pairs, plan.whole)}


def test_f1_and_mcc_are_lm_evals(local: Callable[[str], Any], tmp_path: Path) -> None:
    """Of options, from the stored likelihoods; beside them, the items get an accuracy of their own."""
    loaded = local(CHOICE)
    (plan,) = plan_suite(loaded, ScriptedTokenizer(), context_length=None)
    assert (plan.metrics, plan.whole, plan.notes) == (("acc",), ("f1", "mcc"), ())
    records = [
        plan.score(
            n,
            [tuple(ContinuationScore(log_probs=(each,), greedy=False) for each in likelihoods(n))],
        )
        for n in range(24)
    ]
    found = whole_of(plan, records, tmp_path / "store")
    expected = theirs(loaded)
    for name in ("f1", "mcc"):
        assert found[name].listed
        assert found[name].resampled.baseline == pytest.approx(expected[name])


def test_bleu_chrf_and_ter_are_lm_evals(local: Callable[[str], Any], tmp_path: Path) -> None:
    """Of texts, from the parts stored with each answer; as fractions."""
    loaded = local(TEXT)
    (plan,) = plan_suite(loaded, ScriptedTokenizer(), context_length=None)
    assert (plan.metrics, plan.whole) == (("sentence_bleu", "sentence_chrf"), ("bleu", "chrf", "ter"))
    records = [plan.score(n, [Generation(text=answer_to(n), tokens=(1,), finish="stop")]) for n in range(24)]
    assert ItemRecord.model_validate_json(records[0].model_dump_json()) == records[0]
    found = whole_of(plan, records, tmp_path / "store")
    expected = theirs(loaded)
    for name in ("bleu", "chrf", "ter"):
        assert 100 * found[name].resampled.baseline == pytest.approx(expected[name])


def test_a_generate_task_with_bleu(suite_of: LoadSuite, write_rows: WriteRows, tmp_path: Path) -> None:
    """Over several references as sacrebleu has them; each answer has its own score beside it, under a gate's name."""
    references = [["the cat sat on the mat", "a cat was on the mat"], ["it rained all day", "it was a rainy day"]]
    write_rows("rows.jsonl", [{"text": f"Item {n}", "good": each} for n, each in enumerate(references)])
    spec = {"data": "rows.jsonl", "prompt": "{{text}}:", "answer": "{{good}}", "metric": "bleu"}
    gates = [{"task": "t", "metric": each, "max_drop": 0.1} for each in ("bleu", "sentence_bleu")]
    (plan,) = plan_suite(suite_of({"t": {"generate": spec}}, gates=gates), ScriptedTokenizer(), context_length=None)
    assert (plan.metrics, plan.whole) == (("sentence_bleu",), ("bleu",))
    answers = ["the cat sat on a mat", "it rained all of the day"]
    records = [plan.score(n, [Generation(text=text, tokens=(1,), finish="stop")]) for n, text in enumerate(answers)]
    assert all(isinstance(each.metrics["sentence_bleu"], Scored) for each in records)
    found = whole_of(plan, records, tmp_path / "store")["bleu"].resampled
    theirs = sacrebleu.corpus_bleu(answers, [list(each) for each in zip(*references, strict=True)])
    assert 100 * found.baseline == pytest.approx(theirs.score)


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ({"metric": "bleu", "max_increase": 0.1}, "does not fit bleu; use one of max_drop, max_relative_drop"),
        ({"metric": "macro_f1", "max_drop": 0.1}, "unknown metric 'macro_f1'"),
        ({"metric": "bleu", "tasks": ["t", "u"], "task": None, "max_drop": 0.1}, "has no mean over tasks"),
    ],
)
def test_gates_that_do_not_fit(suite_of: LoadSuite, write_rows: WriteRows, gate: dict[str, Any], says: str) -> None:
    """Forms that judge another kind, metrics of options on texts, and means over tasks."""
    write_rows("rows.jsonl", [{"text": "a", "good": "b"}])
    spec = {"data": "rows.jsonl", "prompt": "{{text}}:", "answer": "{{good}}", "metric": "bleu"}
    asked = {key: value for key, value in {"task": "t", **gate}.items() if value is not None}
    with pytest.raises(SuiteError) as caught:
        suite_of({"t": {"generate": spec}, "u": {"generate": spec}}, gates=[asked])
    assert says in str(caught.value)
