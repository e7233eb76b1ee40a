"""`choice` and `generate`: rows to prompts, options and references, and what is said about rows that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.engines.protocol import ContinuationScore, GenerateRequest, Generation, ScoreRequest
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import HfTokenizer
from harness.records.items import Failed, Scored

LoadSuite = Callable[..., Any]
WriteRows = Callable[..., str]
ROWS = [
    {"id": f"q{n}", "text": f"Item {n}", "label": ["billing", "refund", "other"][n % 3], "lang": "ab"[n % 2]}
    for n in range(6)
]
CHOICE = {
    "data": "rows.jsonl",
    "prompt": "{{text}}\nIntent:",
    "choices": ["billing", "refund", "other"],
    "answer": "{{label}}",
}
GENERATE = {"data": "rows.jsonl", "prompt": "{{text}}:", "answer": "{{label}}"}


def plan_of(loaded: Any, tokenizer: Any = None, **options: Any) -> TaskPlan:
    (plan,) = plan_suite(loaded, tokenizer or ScriptedTokenizer(), **{"context_length": None, **options})
    return plan


def text_of(ids: tuple[int, ...]) -> str:
    """Back from the scripted tokenizer's ids."""
    return bytes(token - 3 for token in ids).decode()


def refusal(loaded: Any, tokenizer: Any = None) -> str:
    with pytest.raises(SuiteError) as caught:
        plan_of(loaded, tokenizer)
    return str(caught.value)


def values(record: Any) -> dict[str, float]:
    return {name: each.value for name, each in record.metrics.items() if isinstance(each, Scored)}


def test_choice_asks_every_option_after_one_prompt(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """One request an item: the rendered prompt, and each option behind the delimiter."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"choice": CHOICE, "id": "id", "slice_by": ["lang"], "cluster_by": "text"}}))
    (request,) = plan.requests[1]
    assert isinstance(request, ScoreRequest)
    assert text_of(request.context) == "Item 1\nIntent:"
    assert [text_of(each) for each in request.continuations] == [" billing", " refund", " other"]
    item = plan.items[1]
    assert (item.item, item.expected, item.options) == ("q1", "refund", ("billing", "refund", "other"))
    assert (item.slices, item.cluster, item.prompt) == ({"lang": "b"}, "Item 1", "Item 1\nIntent:")
    assert item.tokens == len("Item 1\nIntent: billing refund other")
    assert (plan.kind, plan.metrics, plan.data_file) == ("choice", ("acc", "acc_norm"), "rows.jsonl")


def test_choice_is_scored_by_the_highest_likelihood(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """acc takes the summed likelihood, acc_norm divides by the option's characters."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"choice": CHOICE}}))
    answer = tuple(
        ContinuationScore(log_probs=(total,), greedy=False) for total in (-7.0, -6.5, -6.0)
    )  # per character: -1.0, -1.08, -1.2
    assert values(plan.score(0, [answer])) == {"acc": 0.0, "acc_norm": 1.0}
    assert values(plan.score(2, [answer])) == {"acc": 1.0, "acc_norm": 0.0}
    assert [each.log_likelihood for each in plan.score(0, [answer]).options] == [-7.0, -6.5, -6.0]


def test_a_likelihood_that_is_no_number_fails_every_metric(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """NaN is a failure of the harness's run, never a wrong or a right answer."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"choice": CHOICE}}))
    answer = tuple(ContinuationScore(log_probs=(total,), greedy=False) for total in (-1.0, float("nan"), -2.0))
    record = plan.score(0, [answer])
    assert all(isinstance(each, Failed) and each.stage == "score" for each in record.metrics.values())
    assert [each.log_likelihood for each in record.options] == [-1.0, None, -2.0]


@pytest.mark.parametrize(
    ("answer", "label", "expected"),
    [
        ("{{label}}", "refund", "refund"),
        ("{{label}}", 2, "other"),
        ("{{label}}", "1", "refund"),
        ("{{label | upper | lower}}", "other", "other"),
        (0, "whatever", "billing"),
    ],
)
def test_an_answer_is_an_options_text_or_index(
    suite_of: LoadSuite, write_rows: WriteRows, answer: object, label: object, expected: str
) -> None:
    """By text, by number, by a number as text, by template, or one index for all rows."""
    write_rows("rows.jsonl", [{"text": "a", "label": label}])
    assert plan_of(suite_of({"t": {"choice": {**CHOICE, "answer": answer}}})).items[0].expected == expected


def test_options_that_look_like_numbers_need_a_word(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """`"2"` among the options 4, 2, 1 is the option that reads 2 or the third one: the suite has to say."""
    write_rows("rows.jsonl", [{"text": "a", "o": ["4", "2", "1"], "label": "2"}])
    asked = {**CHOICE, "choices": "{{o}}"}
    assert "write answer_is: text or answer_is: index" in refusal(suite_of({"t": {"choice": asked}}))
    for meaning, expected in (("text", "2"), ("index", "1")):
        plan = plan_of(suite_of({"t": {"choice": {**asked, "answer_is": meaning}}}))
        assert plan.items[0].expected == expected


@pytest.mark.parametrize(
    ("row", "change", "expected"),
    [
        ({"label": "refunds"}, {}, "rows.jsonl:7: tasks.t.choice.answer: expected one of ['billing'"),
        ({"label": 3}, {}, "got 3; the other rows give the option's text"),
        ({"label": True}, {}, "got True"),
        ({}, {"prompt": "{{missing}}"}, "rows.jsonl:1: tasks.t.choice.prompt: 'missing' is undefined; the row has"),
        ({}, {"prompt": "{{text"}, "tasks.t.choice.prompt: the template is broken"),
        ({}, {"choices": "{{options}}"}, "expected a field 'options'; the row has 'id'"),
        ({"options": "a, b"}, {"choices": "{{options}}"}, "expected a field 'options'"),
        ({}, {"choices": "{{text}}"}, "expected a list of strings, got 'Item 0'"),
        ({}, {"choices": ["one"]}, "expected at least two options, got 1"),
        ({}, {"choices": ["a", "a"]}, "expected options that differ and are not empty"),
    ],
)
def test_a_row_that_does_not_fit_is_named(
    suite_of: LoadSuite, write_rows: WriteRows, row: Mapping[str, object], change: Mapping[str, object], expected: str
) -> None:
    """File, line, key, what was expected and what came."""
    write_rows("rows.jsonl", [*ROWS, {**ROWS[0], "id": "last", **row}])
    assert expected in refusal(suite_of({"t": {"choice": {**CHOICE, **change}}}))


@pytest.mark.parametrize(("key", "value"), [("slice_by", ["topic"]), ("cluster_by", "topic"), ("id", "topic")])
def test_a_missing_slice_cluster_or_id_is_named_with_its_line(
    suite_of: LoadSuite, write_rows: WriteRows, key: str, value: object
) -> None:
    """The first row without the field, and the fields it has."""
    write_rows("rows.jsonl", ROWS)
    told = refusal(suite_of({"t": {"choice": CHOICE, key: value}}))
    assert told.startswith(f"rows.jsonl:1: tasks.t.{key}: expected a field 'topic'; the ")


def test_examples_stand_before_every_prompt(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """num_few_shot examples of the file, in its order, with their answers, parted by a blank line."""
    write_rows("rows.jsonl", ROWS)
    write_rows("shots.jsonl", [{"text": f"Shot {n}", "label": "other"} for n in range(3)])
    plan = plan_of(suite_of({"t": {"choice": {**CHOICE, "few_shot": "shots.jsonl", "num_few_shot": 2}}}))
    shots = "".join(f"Shot {n}\nIntent: other\n\n" for n in range(2))
    assert [item.prompt for item in plan.items] == [f"{shots}Item {n}\nIntent:" for n in range(6)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"few_shot": "shots.jsonl", "num_few_shot": 9}, "expected at least 9 examples, the file has 3"),
        ({"few_shot": "none.jsonl", "num_few_shot": 1}, "none.jsonl: tasks.t.generate.few_shot: no such file"),
        (
            {"prompt": None, "messages": "{{text}}", "few_shot": "shots.jsonl", "num_few_shot": 1},
            "put the examples into the messages",
        ),
        ({"regex": "(open"}, "tasks.t.generate.regex: not a regular expression"),
        ({"answer": "{{'  '}}"}, "rows.jsonl:1: tasks.t.generate.answer: expected a reference answer"),
    ],
)
def test_generate_settings_that_cannot_work(
    suite_of: LoadSuite, write_rows: WriteRows, change: Mapping[str, object], expected: str
) -> None:
    """Too few examples, examples beside messages, a broken pattern, an empty reference: each named."""
    write_rows("rows.jsonl", ROWS)
    write_rows("shots.jsonl", ROWS[:3])
    assert expected in refusal(suite_of({"t": {"generate": {**GENERATE, **change}}}))


def test_generate_asks_for_text(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Prompt ids, token limit, stop strings and the end of text; greedy."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"generate": {**GENERATE, "until": ["\n", "END"], "max_new_tokens": 7}}}))
    (request,) = plan.requests[2]
    assert isinstance(request, GenerateRequest)
    assert text_of(request.prompt) == "Item 2:"
    assert (request.max_new_tokens, request.until, request.temperature) == (7, ("\n", "END", "\x02"), 0.0)
    assert (plan.kind, plan.metrics, plan.items[2].expected) == ("generate", ("exact_match",), "other")


@pytest.mark.parametrize(
    ("settings", "reply", "expected"),
    [
        ({}, " refund\n", {"exact_match": 1.0}),
        ({}, "Refund.", {"exact_match": 0.0}),
        ({"ignore_case": True, "ignore_punctuation": True}, "Refund.", {"exact_match": 1.0}),
        ({"regex": r"is (\w+)"}, "it is refund, or is other", {"exact_match": 1.0}),
        ({"regex": r"is (\w+)"}, "refund", {"exact_match": 0.0}),
        ({"metric": ["f1", "contains"]}, "a refund please", {"f1": 2 / 3, "contains": 1.0}),
        ({"metric": ["contains", "exact_match"]}, "two\nlines: refund", {"contains": 1.0, "exact_match": 0.0}),
        ({}, "", {"exact_match": 0.0}),
    ],
)
def test_an_answer_is_scored_as_the_suite_says(
    suite_of: LoadSuite, write_rows: WriteRows, settings: Mapping[str, object], reply: str, expected: dict[str, float]
) -> None:
    """Only the metrics asked for; an empty answer is the model's doing and counts as wrong."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"generate": {**GENERATE, **settings}}}))
    record = plan.score(1, [Generation(tokens=(5, 6), text=reply, finish="length")])
    assert values(record) == pytest.approx(expected)
    assert tuple(record.metrics) == plan.metrics
    assert record.answer is not None
    assert (record.answer.text, record.answer.tokens, record.answer.finish) == (reply, 2, "length")


def test_spaces_around_a_reference_do_not_count(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """The model's answer is stripped before it is compared, so the reference is too."""
    write_rows("rows.jsonl", [{"text": "a", "label": " refund \n"}])
    plan = plan_of(suite_of({"t": {"generate": GENERATE}}))
    assert values(plan.score(0, [Generation(tokens=(), text="refund", finish="stop")])) == {"exact_match": 1.0}


def test_a_reference_that_looks_like_a_list_stays_text(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """lm-eval reads `[1, 2]` in a template as several answers; a row's answer is one text."""
    write_rows("rows.jsonl", [{"text": "a", "label": "[1, 2]"}])
    plan = plan_of(suite_of({"t": {"generate": GENERATE}}))
    assert values(plan.score(0, [Generation(tokens=(), text="[1, 2]", finish="stop")])) == {"exact_match": 1.0}
    assert values(plan.score(0, [Generation(tokens=(), text="1", finish="stop")])) == {"exact_match": 0.0}


@pytest.mark.parametrize("kind", ["choice", "generate"])
def test_messages_go_through_the_chat_template_once(
    suite_of: LoadSuite, write_rows: WriteRows, bos_tokenizer: HfTokenizer, kind: str
) -> None:
    """The template's own BOS is the only one, and nothing stands between template and answer."""
    turns = [{"role": "system", "content": "red"}, {"role": "user", "content": "Where?"}]
    write_rows("rows.jsonl", [{"messages": turns, "label": "yes"}])
    spec: dict[str, object] = {"data": "rows.jsonl", "messages": "{{messages}}", "answer": "{{label}}"}
    if kind == "choice":
        spec["choices"] = ["yes", "no"]
    plan = plan_of(suite_of({"t": {kind: spec}}), bos_tokenizer)
    (request,) = plan.requests[0]
    ids = request.context if isinstance(request, ScoreRequest) else request.prompt  # type: ignore[union-attr]
    written = "<s><system>red\n<user>Where?\n<assistant>"
    assert plan.items[0].prompt == written
    assert ids == bos_tokenizer.encode(written, add_special_tokens=False)
    if isinstance(request, ScoreRequest):
        assert request.continuations[0] == bos_tokenizer.encode("yes", add_special_tokens=False)


def test_a_plain_text_is_one_user_turn(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """A messages template over text fields is what the user says."""
    write_rows("rows.jsonl", ROWS[:1])
    spec = {"data": "rows.jsonl", "messages": "Say {{text}}", "answer": "{{label}}"}
    assert plan_of(suite_of({"t": {"generate": spec}})).items[0].prompt == "<user>Say Item 0\n<assistant>"


@pytest.mark.parametrize("messages", [[], [{"role": "user"}], {"role": "user", "content": "x"}, [["user", "x"]]])
def test_messages_of_another_shape_are_named(suite_of: LoadSuite, write_rows: WriteRows, messages: object) -> None:
    """Anything but a list of {role, content} is an error with its line."""
    write_rows("rows.jsonl", [{"messages": messages, "label": "x"}])
    spec = {"data": "rows.jsonl", "messages": "{{messages}}", "answer": "{{label}}"}
    told = refusal(suite_of({"t": {"generate": spec}}))
    assert told.startswith("rows.jsonl:1: tasks.t.generate.messages")
    assert "{role, content} with text in both, got" in told
