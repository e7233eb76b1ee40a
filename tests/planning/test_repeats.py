"""Several sampled answers to an item: their requests and seeds, their mean, pass@k and maj@k, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from harness.engines.protocol import GenerateRequest, Generation
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.metrics.repeats import most_frequent, over_answers, pass_at
from harness.metrics.table import lookup
from harness.planning.plan_suite import plan_suite
from harness.planning.second_pass import second_pass
from harness.planning.task_plan import TaskPlan
from harness.records.items import Failed, ItemRecord
from harness.suite.describe import task_definition
from harness.suite.models import NoiseFloor
from tests.planning.conftest import LoadSuite, WriteRows
from tests.planning.test_lm_eval_tasks import CHOICE_YAML, ROLLING_YAML, write_task

ROWS = [{"q": f"How many are {number}?", "a": str(number)} for number in range(5)]
SAMPLING = {"temperature": 0.7, "top_p": 0.95, "top_k": 20}
SPEC: dict[str, Any] = {"data": "rows.jsonl", "prompt": "{{q}}", "answer": "{{a}}", "max_new_tokens": 8}
SEVERAL: dict[str, Any] = {
    **SPEC, "repeats": 4, "sampling": SAMPLING, "regex": "\\d+", "metric": ["exact_match", "pass@1", "pass@2", "maj@3"],
}  # fmt: skip
VOTING_YAML = """
task: voted
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{a}}}}"
repeats: {repeats}
generation_kwargs: {{until: ["\\n"], {settings}, max_gen_toks: 12}}
filter_list:
  - name: first
    filter: [{{function: regex, regex_pattern: "(\\\\d+)"}}, {{function: take_first}}]
  - name: maj@4
    filter:
      - {{function: take_first_k, k: 4}}
      - {{function: regex, regex_pattern: "(\\\\d+)"}}
      - {{function: majority_vote}}
      - {{function: take_first}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


def plan_of(loaded: Any) -> TaskPlan:
    (plan,) = plan_suite(loaded, ScriptedTokenizer(), context_length=None)
    return plan


def refusal(loaded: Any) -> str:
    with pytest.raises(SuiteError) as caught:
        plan_of(loaded)
    return str(caught.value)


def asked(plan: TaskPlan, index: int = 0) -> list[GenerateRequest]:
    return [each for each in plan.requests[index] if isinstance(each, GenerateRequest)]


def scored(plan: TaskPlan, texts: Sequence[str], index: int = 0) -> ItemRecord:
    return plan.score(index, [Generation(tokens=(1, 2), text=text, finish="stop") for text in texts])


def values(record: ItemRecord) -> dict[str, float | str]:
    return {name: each.error if isinstance(each, Failed) else each.value for name, each in record.metrics.items()}


def voting(folder: Path, *, repeats: int = 6, settings: str = "do_sample: true, temperature: 0.4, top_p: 0.8") -> str:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "task.yaml").write_text(VOTING_YAML.format(folder=folder, repeats=repeats, settings=settings))
    return "task.yaml"


def test_an_item_is_asked_so_often_with_seeds_of_its_own(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Every repeat has the prompt and the settings; its seed is a function of suite seed, item and repeat, so that the
    first answers of more repeats are those of fewer. The prefix that items share is not their repeats'."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"generate": SEVERAL}}))
    requests = asked(plan)
    assert len(requests) == 4
    assert {(each.prompt, each.temperature, each.top_p, each.top_k, each.min_p) for each in requests} == {
        (requests[0].prompt, 0.7, 0.95, 20, 0.0)
    }
    assert len({each.seed for item in range(len(ROWS)) for each in asked(plan, item)}) == 4 * len(ROWS)
    assert plan_of(suite_of({"t": {"generate": SEVERAL}})).hash == plan.hash
    more = plan_of(suite_of({"renamed": {"generate": {**SEVERAL, "repeats": 9}}}))
    assert [each.seed for each in asked(more)[:4]] == [each.seed for each in requests]
    other = plan_of(suite_of({"t": {"generate": SEVERAL}}, seed=1))
    assert not {each.seed for each in asked(other)} & {each.seed for each in requests}
    assert len({plan.hash, more.hash, other.hash}) == 3
    assert all(request.shared < len("How many are 0?") for request in requests)
    again = second_pass(plan, NoiseFloor(items=3), 0)
    assert again is not None
    assert asked(again) == asked(plan, again.chosen[0])


def test_greedy_tasks_are_what_they_were(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """One request an item without a seed; neither plan nor definition has a word of sampling."""
    write_rows("rows.jsonl", ROWS)
    loaded = suite_of({"t": {"generate": SPEC}})
    plan = plan_of(loaded)
    assert [(len(asked(plan, item)), asked(plan, item)[0].seed) for item in range(5)] == [(1, 0)] * 5
    assert "sampling" not in plan.settings
    record = scored(plan, ["0"])
    assert record.repeats == ()
    assert record.answer is not None
    assert record.answer.score is None
    assert task_definition(loaded.suite, "t") == GREEDY_DEFINITION


GREEDY_DEFINITION = "783d9b4023ca93a1455bb785b34928beaba5a44329c5f1eb9019490262127bb2"


def test_the_mean_pass_at_k_and_the_majority(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Answers 0, 0, 7 and 8 to a question whose answer is 0; the vote is among the first three. Of answers that are
    equally frequent the one given first counts."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"generate": SEVERAL}}))
    assert plan.metrics == ("exact_match", "pass@1", "pass@2", "maj@3")
    record = scored(plan, ["It is 0.", "7", "0", "about 8"])
    assert values(record) == {"exact_match": 0.5, "pass@1": 0.5, "pass@2": pytest.approx(5 / 6), "maj@3": 1.0}
    assert [each.text for each in record.answers] == ["It is 0.", "7", "0", "about 8"]
    assert [each.score for each in record.answers] == [1.0, 0.0, 1.0, 0.0]
    assert values(scored(plan, ["7", "0", "none", "0"]))["maj@3"] == 0.0
    assert values(scored(plan, ["none", "", "?", "0"]))["maj@3"] == 0.0
    assert ItemRecord.model_validate_json(record.model_dump_json()) == record


def test_pass_at_k_is_the_share_of_draws_with_a_right_answer() -> None:
    """Equal to counting every choice of k out of n answers."""
    for n in range(1, 8):
        for right in range(n + 1):
            for k in range(1, n + 1):
                draws = list(combinations([True] * right + [False] * (n - right), k))
                assert pass_at(k, n, right) == pytest.approx(sum(map(any, draws)) / len(draws))
    texts = ["b", "a", "c", "a", "b"]
    assert texts[most_frequent(texts)] == Counter(texts).most_common(1)[0][0] == "b"
    assert lookup("pass@4,strict") == over_answers("pass@4")
    assert [over_answers(name) for name in ("pass@0", "pass@", "maj@x", "pass@-1", "pass@4x")] == [None] * 5


def test_lm_evals_own_repeats_and_votes_are_followed(suite_of: LoadSuite, tmp_path: Path) -> None:
    """A task that draws six answers: a filter of one answer is averaged over them, one that votes gets them all; the
    suite may ask for other settings, and for pass@k by a filter."""
    plan = plan_of(suite_of({"t": {"lm_eval": voting(tmp_path), "metric": ["pass@3,first", "maj@5"]}}))
    (first, *_) = requests = asked(plan, 1)
    assert (len(requests), first.temperature, first.top_p, first.top_k) == (6, 0.4, 0.8, 0)
    assert plan.metrics == ("exact_match,first", "exact_match,maj@4", "pass@3,first", "maj@5")
    texts = ["so 1", "3", "3", "1", "1", "2"]
    assert values(scored(plan, texts, 1)) == {
        "exact_match,first": 0.5, "exact_match,maj@4": 1.0, "pass@3,first": pytest.approx(0.95), "maj@5": 1.0,
    }  # fmt: skip
    changed = {"lm_eval": voting(tmp_path), "repeats": 4, "sampling": {"temperature": 1.5, "min_p": 0.1}}
    (first, *_) = requests = asked(plan_of(suite_of({"t": changed})))
    assert (len(requests), first.temperature, first.top_p, first.min_p) == (4, 1.5, 1.0, 0.1)


def test_what_lm_evals_task_cannot_have_is_refused(suite_of: LoadSuite, tmp_path: Path) -> None:
    """Equal answers, fewer than a filter wants, settings out of range, pass@k of a filter that is not there."""
    name = voting(tmp_path, settings="do_sample: false")
    assert "asks every item 6 times and takes the likeliest token each time" in refusal(
        suite_of({"t": {"lm_eval": name}})
    )
    name = voting(tmp_path, settings="do_sample: true, temperature: 0.4, top_p: 1.5")
    assert "generation_kwargs: top_p: input should be less than or equal to 1, got 1.5" in refusal(
        suite_of({"t": {"lm_eval": name}})
    )
    name = voting(tmp_path)
    assert "repeats: 2: Need at least 4 responses per doc" in refusal(suite_of({"t": {"lm_eval": name, "repeats": 2}}))
    assert "pass@2,other: no metric of the task has this filter" in refusal(
        suite_of({"t": {"lm_eval": name, "metric": "pass@2,other"}})
    )
    assert "pass@7 needs 7 answers to an item, repeats is 6" in refusal(
        suite_of({"t": {"lm_eval": name, "metric": "pass@7"}})
    )
    with pytest.raises(SuiteError, match="expected pass@k or maj@k, got 'acc'"):
        suite_of({"t": {"lm_eval": name, "metric": "acc"}})


@pytest.mark.parametrize(
    ("template", "keys", "expected"),
    [
        (CHOICE_YAML, {"sampling": {"temperature": 1.0}}, "only generated answers can be sampled"),
        (CHOICE_YAML, {"metric": "pass@1"}, "only generated answers can be sampled"),
        (ROLLING_YAML, {"repeats": 2}, "this task scores documents"),
    ],
)
def test_what_is_scored_is_not_sampled(
    suite_of: LoadSuite, tmp_path: Path, template: str, keys: dict[str, Any], expected: str
) -> None:
    """Options and documents of lm-eval's tasks: the keys are refused, never ignored."""
    name = write_task(tmp_path, template)
    assert expected in refusal(suite_of({"t": {"lm_eval": name, **keys}}))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"sampling": None, "metric": "exact_match"},
            "repeats: 4 answers of greedy decoding to one item are all equal",
        ),
        ({"sampling": {"temperature": 0}}, "sampling.temperature: temperature 0 takes the likeliest token"),
        ({"sampling": {"temperature": -1.0}}, "sampling.temperature: expected a number above 0"),
        ({"sampling": {"top_p": 0.9}}, "sampling.temperature: required key missing"),
        ({"sampling": {**SAMPLING, "top_p": 0.0}}, "sampling.top_p: expected a number above 0"),
        ({"sampling": {**SAMPLING, "top_k": -1}}, "sampling.top_k: expected a number of at least 0"),
        ({"sampling": {**SAMPLING, "min_p": 1.0}}, "sampling.min_p: expected a number below 1"),
        ({"sampling": {**SAMPLING, "topp": 1.0}}, "unknown key, did you mean top_p?"),
        ({"repeats": 0}, "repeats: expected a number of at least 1"),
        ({"repeats": 2}, "maj@3 needs 3 answers to an item, repeats is 2"),
        ({"metric": "pass@2"}, "pass@2 counts what another metric calls right; name that one first"),
        ({"metric": ["f1", "pass@2"]}, "pass@k and maj@k count right answers, and f1 gives shares"),
        ({"metric": ["exact_match", "pass@0"]}, "unknown metric 'pass@0'"),
    ],
)
def test_what_does_not_fit_is_named(
    suite_of: LoadSuite, write_rows: WriteRows, changes: dict[str, Any], expected: str
) -> None:
    """Each with its key, what was expected and what came."""
    write_rows("rows.jsonl", ROWS)
    with pytest.raises(SuiteError) as caught:
        suite_of({"t": {"generate": {**SEVERAL, **changes}}})
    assert expected in str(caught.value)


def test_keys_of_lm_eval_tasks_stay_there(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """At a generate task's own level they are refused, with the place where they belong."""
    write_rows("rows.jsonl", ROWS)
    with pytest.raises(SuiteError, match="a generate task has them in its block"):
        suite_of({"t": {"generate": SPEC, "repeats": 4}})
