"""lm-eval's own tasks and YAML: the same prompts, filters and scores as lm-eval's evaluator gives."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.engines.protocol import ContinuationScore, Generation, ScoreRequest
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.lm_eval.lm_eval_tasks import lm_eval_docs
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import HfTokenizer
from harness.records.items import Scored

LoadSuite = Callable[..., Any]
CHOICE_YAML = """
task: local_choice
dataset_path: json
dataset_kwargs:
  cache_dir: {folder}/cache
  data_files: {{train: {folder}/train.jsonl, test: {folder}/rows.jsonl}}
training_split: train
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: "{{{{o}}}}"
doc_to_target: "{{{{a}}}}"
num_fewshot: {shots}
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
{extra}
"""
GENERATE_YAML = """
task: local_generate
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{o[a]}}}}"
generation_kwargs: {{until: ["\\n"], do_sample: false, max_gen_toks: 12}}
filter_list:
  - {{name: strict, filter: [{{function: regex, regex_pattern: "is (\\\\w+)"}}, {{function: take_first}}]}}
  - name: loose
    filter: [{{function: regex, regex_pattern: "(\\\\w+)", group_select: -1}}, {{function: take_first}}]
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true}}
{extra}
"""
ROLLING_YAML = """
task: local_rolling
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{q}}}}"
metric_list: [{{metric: word_perplexity}}]
{extra}
"""


def write_task(folder: Path, template: str, *, shots: int = 0, extra: str = "", broken: bool = False) -> str:
    rows = [
        {"n": n, "q": f"Question {n}?", "o": ["yes", "no", "perhaps"][: 2 + n % 2], "a": n % 2, "topic": "xy"[n % 2]}
        for n in range(12)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(lines + ("{broken\n" if broken else ""))
    (folder / "train.jsonl").write_text(lines.replace("Question", "Example"))
    (folder / "task.yaml").write_text(template.format(folder=folder, shots=shots, extra=extra))
    return "task.yaml"


def fraction(*parts: str) -> float:
    """A number from 0 to 1 that depends on the texts alone."""
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:4], "big") / 2**32


def reply(prompt: str) -> str:
    return ["It is Yes", "it is no", "no", "Perhaps"][int(4 * fraction(prompt))]


def their_samples(loaded: Any, name: str) -> list[dict[str, Any]]:
    """lm-eval's evaluator on the same task, with a model whose answers are those hashes."""
    from lm_eval.api.model import LM
    from lm_eval.evaluator import evaluate

    class Hashing(LM):  # type: ignore[misc]  # lm-eval has no types
        def loglikelihood(self, requests: Sequence[Any], **_: object) -> list[tuple[float, bool]]:
            return [(-9 * fraction(*each.args), False) for each in requests]

        def generate_until(self, requests: Sequence[Any], **_: object) -> list[str]:
            return [reply(each.args[0]) for each in requests]

        def loglikelihood_rolling(self, requests: Sequence[Any], **_: object) -> list[float]:
            raise NotImplementedError

    task = lm_eval_docs(loaded, name, loaded.suite.tasks[name]).task
    found = evaluate(lm=Hashing(), task_dict={task.config.task: task}, bootstrap_iters=0)
    samples: list[dict[str, Any]] = found["samples"][task.config.task]
    return samples


def plan_of(loaded: Any, tokenizer: Any = None, **options: Any) -> TaskPlan:
    (plan,) = plan_suite(loaded, tokenizer or ScriptedTokenizer(), **{"context_length": None, **options})
    return plan


def refusal(loaded: Any) -> str:
    with pytest.raises(SuiteError) as caught:
        plan_of(loaded)
    return str(caught.value)


@pytest.mark.parametrize("shots", [0, 2])
def test_choice_scores_are_the_evaluators(suite_of: LoadSuite, tmp_path: Path, shots: int) -> None:
    """Item by item: the same prompt (examples included) and exactly the same acc and acc_norm."""
    loaded = suite_of({"t": {"lm_eval": write_task(tmp_path, CHOICE_YAML, shots=shots)}})
    plan = plan_of(loaded)
    theirs = their_samples(loaded, "t")
    assert len(plan.items) == len(theirs) == 12
    for index, (item, sample) in enumerate(zip(plan.items, theirs, strict=True)):
        asked = [(each[0], each[1]) for each in sample["arguments"]]
        assert item.prompt == asked[0][0]
        assert item.prompt.count("Example") == shots
        answer = tuple(ContinuationScore(log_probs=(-9 * fraction(*each),), greedy=False) for each in asked)
        record = plan.score(index, [answer])
        for metric in ("acc", "acc_norm"):
            assert record.metrics[metric] == Scored(value=float(sample[metric]))
    assert plan.metrics == ("acc", "acc_norm")


def test_generation_scores_are_the_evaluators_filter_by_filter(suite_of: LoadSuite, tmp_path: Path) -> None:
    """Each filter is a metric of its own, named as lm-eval names it, with its per-item value."""
    loaded = suite_of({"t": {"lm_eval": write_task(tmp_path, GENERATE_YAML)}})
    plan = plan_of(loaded)
    assert plan.metrics == ("exact_match,strict", "exact_match,loose")
    seen = set()
    for sample in their_samples(loaded, "t"):
        item = plan.items[sample["doc_id"]]
        text = reply(item.prompt)
        record = plan.score(item.index, [Generation(tokens=(3,), text=text, finish="stop")])
        value = record.metrics[f"exact_match,{sample['filter']}"]
        assert value == Scored(value=float(sample["exact_match"]))
        seen.add((sample["filter"], sample["exact_match"]))
    assert {name for name, _ in seen} == {"strict", "loose"}
    assert {value for _, value in seen} == {0.0, 1.0}


def test_a_yaml_brings_slices_clusters_ids_and_a_sample(suite_of: LoadSuite, tmp_path: Path) -> None:
    """The document's own fields serve as the row's do."""
    task = {"lm_eval": write_task(tmp_path, CHOICE_YAML), "id": "n", "slice_by": ["topic"], "cluster_by": "topic"}
    plan = plan_of(suite_of({"t": task}), limit=5)
    assert len(plan.items) == 5
    assert all(item.slices == {"topic": "xy"[int(item.item) % 2]} for item in plan.items)
    assert {item.cluster for item in plan.items} == {"x", "y"}
    told = refusal(suite_of({"t": {**task, "slice_by": ["size"]}}))
    assert "task.yaml, document 0: tasks.t.slice_by: expected a field 'size'" in told


def test_an_id_that_is_not_unique_is_refused(suite_of: LoadSuite, tmp_path: Path) -> None:
    """A field the suite names as the id must tell the documents apart."""
    told = refusal(suite_of({"t": {"lm_eval": write_task(tmp_path, CHOICE_YAML), "id": "topic"}}))
    assert "tasks.t.id: documents 0 and 2 have the same id 'x'" in told


def test_the_chat_template_holds_prompt_and_examples(
    suite_of: LoadSuite, tmp_path: Path, bos_tokenizer: HfTokenizer
) -> None:
    """apply_chat_template wraps lm-eval's prompt; examples are turns of their own, and BOS stands once."""
    task = {"lm_eval": write_task(tmp_path, CHOICE_YAML), "num_few_shot": 1, "apply_chat_template": True}
    plan = plan_of(suite_of({"t": task}), bos_tokenizer)
    prompt = plan.items[3].prompt
    assert prompt.startswith("<s><user>Example")
    assert prompt.endswith("<user>Question 3?\n<assistant>")
    assert prompt.count("<assistant>") == 2
    (request,) = plan.requests[3]
    assert request.context.count(bos_tokenizer.prefix_token) == 1  # type: ignore[union-attr]


def test_a_rolling_task_becomes_documents(suite_of: LoadSuite, tmp_path: Path) -> None:
    """lm-eval's perplexity tasks are asked as perplexity is: windows as long as the context."""
    plan = plan_of(suite_of({"t": {"lm_eval": write_task(tmp_path, ROLLING_YAML)}}), context_length=6)
    assert (plan.kind, plan.divergence, len(plan.items)) == ("perplexity", True, 12)
    assert plan.items[0].bytes == len("Question 0?")
    assert len(plan.requests[0]) == 2


def test_a_metric_that_is_no_mean_is_of_the_whole_or_left_out(suite_of: LoadSuite, tmp_path: Path) -> None:
    """Corpus BLEU has no value per item: it is one of the whole, with a score of each item where there is no other. Of
    one that is not known (chrF++) there is a note, and an error when it is the only one."""
    bleu = "  - {metric: bleu, aggregation: bleu, higher_is_better: true}"
    plan = plan_of(suite_of({"t": {"lm_eval": write_task(tmp_path, GENERATE_YAML, extra=bleu)}}))
    assert plan.metrics == ("exact_match,strict", "exact_match,loose")
    assert plan.whole == ("bleu,strict", "bleu,loose")
    name = write_task(tmp_path, GENERATE_YAML.replace("metric: exact_match, aggregation: mean", "metric: bleu"))
    plan = plan_of(suite_of({"t": {"lm_eval": name}}))
    assert (plan.metrics, plan.whole) == (("sentence_bleu",), ("bleu,strict", "bleu,loose"))
    other = "  - {metric: chrf++, higher_is_better: true}"
    plan = plan_of(suite_of({"t": {"lm_eval": write_task(tmp_path, GENERATE_YAML, extra=other)}}))
    assert plan.metrics == ("exact_match,strict", "exact_match,loose")
    assert "t: chrf++,strict is no mean over items, so it cannot be paired and is left out" in plan.notes
    name = write_task(tmp_path, GENERATE_YAML.replace("metric: exact_match, aggregation: mean", "metric: chrf++"))
    assert "none of its metrics can be paired item by item: chrf++,strict" in refusal(
        suite_of({"t": {"lm_eval": name}})
    )


def test_settings_that_are_not_followed_are_said(suite_of: LoadSuite, tmp_path: Path) -> None:
    """Beam search is not done silently as greedy search; sampling is said to add chance."""
    template = GENERATE_YAML.replace("do_sample: false", "do_sample: true, temperature: 0.7, num_beams: 4")
    plan = plan_of(suite_of({"t": {"lm_eval": write_task(tmp_path, template)}}))
    assert "t: generates without the task's num_beams, which quantgate does not follow" in plan.notes
    assert any(note.startswith("t: draws one answer to each item with temperature 0.7;") for note in plan.notes)


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("repeats: 8", "asks every item 8 times and takes the likeliest token each time"),
        ("unsafe_code: true", "task.yaml runs code that the model writes"),
    ],
)
def test_what_cannot_be_paired_or_trusted_is_refused(
    suite_of: LoadSuite, tmp_path: Path, extra: str, expected: str
) -> None:
    """Several answers an item, and metrics that execute what the model wrote."""
    assert expected in refusal(suite_of({"t": {"lm_eval": write_task(tmp_path, GENERATE_YAML, extra=extra)}}))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hellaswagg", "lm-eval has no task 'hellaswagg'; did you mean hellaswag"),
        ("missing.yaml", "missing.yaml: no such file"),
        ("blimp", "blimp is a group of 67 tasks; name one of: blimp_adjunct_island, "),
        ("glue", "glue is a group of "),
        ("arc_easy", "lm-eval could not load arc_easy: "),
    ],
)
def test_a_task_that_cannot_be_had_is_named(suite_of: LoadSuite, name: str, expected: str) -> None:
    """A mistyped name has the nearest one beside it; data that is not here is an error of the suite, offline too."""
    told = refusal(suite_of({"t": {"lm_eval": name}}))
    assert "tasks.t.lm_eval: " in told
    assert expected in told


def test_a_broken_line_behind_a_yaml_is_an_error(suite_of: LoadSuite, tmp_path: Path) -> None:
    """What the data set library raises is told as the suite's problem, with its cause and not a traceback."""
    told = refusal(suite_of({"t": {"lm_eval": write_task(tmp_path, CHOICE_YAML, broken=True)}}))
    assert "tasks.t.lm_eval: lm-eval could not load task.yaml: " in told
    assert "JSON" in told


def test_a_changed_yaml_is_another_task(suite_of: LoadSuite, tmp_path: Path) -> None:
    """Code and configuration of a local task belong to what was asked; the suite beside them does not."""
    loaded = suite_of({"t": {"lm_eval": write_task(tmp_path, CHOICE_YAML)}})
    first = plan_of(loaded).hash
    (tmp_path / "suite.yaml").write_text((tmp_path / "suite.yaml").read_text() + "\n")
    assert plan_of(loaded).hash == first
    (tmp_path / "scores.py").write_text("LIMIT = 2\n")
    assert plan_of(loaded).hash != first


@pytest.mark.fault(
    "T16", "a scorer behind an included YAML edited in as many bytes", "another task, scored by the new text"
)
def test_code_that_a_yaml_brings_in_from_elsewhere_belongs_to_the_task(suite_of: LoadSuite, tmp_path: Path) -> None:
    """Edited between two plans of one process within a second, the time of change put back: the task is another one,
    and what runs is the new text."""
    base = tmp_path / "elsewhere"
    base.mkdir()
    (base / "base.yaml").write_text("process_results: !function scorer.pr\n")
    (base / "scorer.py").write_text(
        "import value_of\n\n\ndef pr(doc, results):\n    return {'acc': value_of.VALUE, 'acc_norm': 0.0}\n"
    )
    value = base / "value_of.py"
    value.write_text("VALUE = 1.0\n")
    task = write_task(tmp_path, CHOICE_YAML, extra="include: elsewhere/base.yaml")
    sys.path.insert(0, str(base))
    try:
        found = []
        for text in ("VALUE = 1.0\n", "VALUE = 0.0\n"):
            before = value.stat()
            value.write_text(text)
            os.utime(value, ns=(before.st_atime_ns, before.st_mtime_ns))
            plan = plan_of(suite_of({"t": {"lm_eval": task}}, allow_task_code=True))
            answers = [
                tuple(ContinuationScore(log_probs=(-1.0,) * len(each), greedy=False) for each in request.continuations)
                for request in plan.requests[0]
                if isinstance(request, ScoreRequest)
            ]
            found.append((plan.hash, plan.score(0, answers).metrics["acc"]))
    finally:
        sys.path.remove(str(base))
    assert found[0][0] != found[1][0]
    assert [each[1] for each in found] == [Scored(value=1.0), Scored(value=0.0)]
