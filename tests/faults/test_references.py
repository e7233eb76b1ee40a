"""A reference is a text, or the task is refused: what `answer` means, several accepted answers, and every JSON type in
every place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from harness.commands.show import item_rows
from harness.engines.protocol import Generation
from harness.errors import SuiteError
from harness.planning.task_plan import TaskPlan
from harness.records.store import Store
from tests.faults.asked import Rows, planned, refusal, run_saying

GENERATE: dict[str, Any] = {"data": "rows.jsonl", "prompt": "{{q}}:", "answer": "{{a}}"}
CHOICE: dict[str, Any] = {"data": "rows.jsonl", "prompt": "{{q}}", "choices": "{{o}}", "answer": "{{a}}"}


def score(plan: TaskPlan, text: str, index: int = 0) -> dict[str, float]:
    record = plan.score(index, [Generation(tokens=(), text=text, finish="stop")])
    return {name: outcome.value for name, outcome in record.metrics.items() if outcome.kind == "scored"}


@pytest.mark.fault("T4", "a list of accepted answers as the reference", "any of them counts, and all are shown")
def test_a_list_of_references_is_several_accepted_answers(tmp_path: Path) -> None:
    """The baseline says one of them to every item and the candidate none: 100 %, 0 %, FAIL."""
    rows = [{"q": f"Question {n}", "refs": ["A", "a letter A"]} for n in range(80)]
    done = run_saying(tmp_path, {"generate": {**GENERATE, "answer": "{{refs}}"}}, rows, "A", "B")
    assert done.exit_code == 10
    shown = list(item_rows(Store(tmp_path / "results"), done.manifest, "t"))
    assert {row["expected"] for row in shown} == {"A | a letter A"}
    assert {(row["variant"], row["exact_match"]) for row in shown} == {("full", 1.0), ("cand", 0.0)}


@pytest.mark.parametrize("metric", ["exact_match", "contains", "f1"])
def test_the_best_reference_counts(tmp_path: Path, metric: str) -> None:
    """Every metric takes the largest value over the references; a single text beside lists is one reference."""
    rows: Rows = [{"q": "x", "a": ["Rome", "the eternal city"]}, {"q": "y", "a": "Oslo"}, {"q": "z", "a": [3]}]
    plan = planned(tmp_path, {"generate": {**GENERATE, "metric": metric}}, rows)
    assert [item.expected for item in plan.items] == ["Rome | the eternal city", "Oslo", "3"]
    assert score(plan, "the eternal city") == {metric: 1.0}
    assert score(plan, "Rome") == {metric: 1.0}
    assert score(plan, "Oslo") == {metric: 0.0}
    assert score(plan, "Oslo", 1) == {metric: 1.0}
    assert score(plan, "3", 2) == {metric: 1.0}
    assert "any of several references counts for 1 of 3 items" in " ".join(plan.said)


def test_other_references_are_another_task(tmp_path: Path) -> None:
    """Every accepted answer decides a score, so stored scores of other ones are not used again."""
    hashes = set()
    for refs in (["A"], ["A", "B"], ["A", "C"], ["A | B"]):
        hashes.add(planned(tmp_path, {"generate": GENERATE}, [{"q": "x", "a": refs}]).hash)
    assert len(hashes) == 4


@pytest.mark.fault("T4", "a mapping, or bytes out of a Parquet file, as the reference", "refused with its line")
@pytest.mark.fault("T5", "null as the reference, or in a prompt", "refused with its line")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "expected a string, got null"),
        ({"text": "A"}, "expected a string, got a mapping with text; name one of its fields: {{ field.text }}"),
        ([], "expected at least one reference answer, got an empty list"),
        ([["A"]], "expected a string, got a list of 1"),
        (["A", None], "generate.answer[1]: expected a string, got null"),
        (["A", " "], "expected a reference answer, got an empty string"),
    ],
)
def test_a_reference_that_is_no_text_is_refused(tmp_path: Path, value: object, expected: str) -> None:
    """By file, line and key, and never printed as Python would print it."""
    told = refusal(tmp_path, {"generate": GENERATE}, [{"q": "x", "a": "fine"}, {"q": "y", "a": value}])
    assert told.startswith("rows.jsonl:2: tasks.t.generate.answer")
    assert expected in told


@pytest.mark.fault("T5", "null inside a prompt's template", "refused with its line")
@pytest.mark.parametrize(
    "prompt", ["{{q}} is", "{{q ~ '?'}}", "{{q | upper}} {{a}}", "{{[q, a] | join(' ')}}", "{{'%s' % q}}"]
)
def test_null_is_never_the_word_none(tmp_path: Path, prompt: str) -> None:
    """However the template writes it."""
    told = refusal(
        tmp_path, {"generate": {**GENERATE, "prompt": prompt}}, [{"q": "x", "a": "1"}, {"q": None, "a": "2"}]
    )
    assert told.startswith("rows.jsonl:2: tasks.t.generate.prompt: expected a string, got null")


def test_what_a_parquet_file_holds_in_binary_is_refused(tmp_path: Path) -> None:
    """Bytes, and a number whose digits nobody wrote."""
    for value, what in ((b"ab", "bytes"), (0.1, "the number 0.1")):
        parquet.write_table(pyarrow.table({"q": ["x"], "a": [value]}), tmp_path / "rows.parquet")
        told = refusal(tmp_path, {"generate": {**GENERATE, "data": "rows.parquet"}})
        assert told.startswith("rows.parquet:row 1: tasks.t.generate.answer: expected a string, got " + what)


@pytest.mark.parametrize("number", ["1.0", "1e3", "0.10", "-0.5", "7", "123456789012345678901234567890"])
def test_a_number_is_written_as_the_file_has_it(tmp_path: Path, number: str) -> None:
    """In the prompt and in the reference."""
    plan = planned(tmp_path, {"generate": {**GENERATE, "prompt": "{{n}}!"}}, f'{{"n": {number}, "a": {number}}}\n')
    assert (plan.items[0].prompt, plan.items[0].expected) == (f"{number}!", number)


OPTIONS = ["5678", "3204", "1230", "1023"]
GOLD = [0, 1, 3, 2]


def index_rows(answer: str) -> list[dict[str, object]]:
    """Row 3's index is an option's text too."""
    return [
        {"q": f"q{n}", "o": list(options), "a": gold, "s": str(gold), "one": gold + 1, "t": answer}
        for n, (options, gold) in enumerate(zip(OPTIONS, GOLD, strict=True))
    ]


@pytest.mark.fault("T6", "an index that is given as text, among options that are numbers", "one meaning for the task")
@pytest.mark.parametrize("answer", ["{{a}}", "{{s}}", "{{one - 1}}", "{{a|string}}", "{{' ' ~ s}}"])
def test_an_answers_meaning_is_the_tasks(tmp_path: Path, answer: str) -> None:
    """The index in every row, whether JSON's number or text, for not every row has an option that reads so."""
    plan = planned(tmp_path, {"choice": {**CHOICE, "answer": answer}}, index_rows("x"))
    assert [item.expected for item in plan.items] == ["5", "2", "0", "2"]
    assert "answer: the option's index, from 0" in plan.said


@pytest.mark.fault("T6", "the same rows as CSV and as JSONL", "read alike")
def test_a_csv_is_read_as_its_jsonl(tmp_path: Path) -> None:
    """No format's types decide what an answer means."""
    choices = [f"{{{{o{n}}}}}" for n in range(4)]
    for answers in (GOLD, [int(options[gold]) for options, gold in zip(OPTIONS, GOLD, strict=True)]):
        rows = [
            {"q": f"q{n}", **{f"o{k}": int(one) for k, one in enumerate(options)}, "a": answer}
            for n, (options, answer) in enumerate(zip(OPTIONS, answers, strict=True))
        ]
        table = "".join(",".join(map(str, row.values())) + "\n" for row in rows)
        (tmp_path / "rows.csv").write_text("q,o0,o1,o2,o3,a\n" + table)
        jsonl = planned(tmp_path, {"choice": {**CHOICE, "choices": choices}}, rows)
        csv = planned(tmp_path, {"choice": {**CHOICE, "choices": choices, "data": "rows.csv"}})
        assert [item.expected for item in csv.items] == [item.expected for item in jsonl.items]
        assert csv.said[1] == jsonl.said[1]


@pytest.mark.fault("T6", "answers that every row could be read in both ways", "refused until the suite says which")
def test_two_meanings_are_the_suites_to_choose(tmp_path: Path) -> None:
    """`answer_is` chooses; where both meanings agree on every row there is nothing to choose."""
    both = [{"q": f"q{n}", "o": [0, 2, 1], "a": n % 3} for n in range(6)]
    told = refusal(tmp_path, {"choice": CHOICE}, both)
    assert told.startswith("rows.jsonl:2: tasks.t.choice.answer: 1 is the text of option 2 and the index of option '2'")
    for meaning, expected in (("text", "1"), ("index", "2")):
        assert planned(tmp_path, {"choice": {**CHOICE, "answer_is": meaning}}, both).items[1].expected == expected
    alike = [{"q": f"q{n}", "o": ["0", "1"], "a": n % 2} for n in range(6)]
    assert [item.expected for item in planned(tmp_path, {"choice": CHOICE}, alike).items] == ["0", "1"] * 3


def test_one_answer_of_another_meaning_is_named(tmp_path: Path) -> None:
    """Texts everywhere and an index in one row: that row."""
    rows = [{"q": f"q{n}", "o": ["yes", "no"], "a": "yes"} for n in range(5)] + [{"q": "q", "o": ["yes", "no"], "a": 1}]
    told = refusal(tmp_path, {"choice": CHOICE}, rows)
    assert told.startswith("rows.jsonl:6: tasks.t.choice.answer: expected one of ['yes', 'no'], got 1; the other rows")


YAML = """task: local
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: "{target}"
generation_kwargs: {{until: ["."], max_gen_toks: 4}}
metric_list: [{{metric: exact_match}}]
"""


@pytest.mark.fault(
    "T5", "null as the gold answer of an lm-eval YAML, by field and by template", "refused with its document"
)
@pytest.mark.parametrize("target", ["a", "{{a}}", "m"])
def test_lm_evals_gold_is_no_null_either(tmp_path: Path, target: str) -> None:
    """lm-eval itself would compare with the word None, or with a mapping's notation."""
    rows: Rows = [{"q": "x", "a": "A", "m": {"k": "A"}}, {"q": "y", "a": None, "m": {"k": "B"}}]
    (tmp_path / "task.yaml").write_text(YAML.format(folder=tmp_path, target=target))
    told = refusal(tmp_path, {"lm_eval": "task.yaml"}, rows)
    number, got = (0, "a dict") if target == "m" else (1, "null")
    assert told.startswith(f"task.yaml, document {number}: tasks.t: expected a string or an option's index")
    assert f"got {got}" in told


def test_the_word_none_is_an_answer_where_nothing_is_null(tmp_path: Path) -> None:
    """In a local YAML as in a short form."""
    (tmp_path / "task.yaml").write_text(YAML.format(folder=tmp_path, target="{{a}}"))
    rows: Rows = [{"q": "x", "a": "A"}, {"q": "y", "a": "None"}]
    assert [item.expected for item in planned(tmp_path, {"lm_eval": "task.yaml"}, rows).items] == ["A", "None"]
    assert [item.expected for item in planned(tmp_path, {"generate": GENERATE}, rows).items] == ["A", "None"]


digits = st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4, unique=True), min_size=1, max_size=5)


def read_as(folder: Path, task: Mapping[str, Any], rows: Rows | None = None) -> tuple[str, ...]:
    """The right options, or what is said against them without the file's name."""
    try:
        return tuple(item.expected for item in planned(folder, task, rows).items)
    except SuiteError as error:
        return tuple(problem.message for problem in error.problems)


@pytest.mark.fault(
    "kind: what an answer means", "random options and answers that are numbers, as JSON and as CSV", "read alike"
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(options=digits, source=st.randoms(use_true_random=False), is_index=st.booleans())
def test_no_format_decides_what_an_answer_means(
    tmp_path: Path, options: list[list[int]], source: Any, is_index: bool
) -> None:
    """Integers, texts and cells of the same data: the same right options, and the intended ones unless refused."""
    gold = [source.randrange(4) for _ in options]
    answers = [place if is_index else row[place] for row, place in zip(options, gold, strict=True)]
    lines = [
        {"q": f"q{n}", **{f"o{k}": one for k, one in enumerate(row)}, "a": answer}
        for n, (row, answer) in enumerate(zip(options, answers, strict=True))
    ]
    spec = {**CHOICE, "choices": [f"{{{{o{n}}}}}" for n in range(4)]}
    table = "".join(",".join(map(str, row.values())) + "\n" for row in lines)
    (tmp_path / "rows.csv").write_text("q,o0,o1,o2,o3,a\n" + table)
    numbers = read_as(tmp_path, {"choice": spec}, lines)
    texts = read_as(tmp_path, {"choice": spec}, [{name: str(value) for name, value in row.items()} for row in lines])
    cells = read_as(tmp_path, {"choice": {**spec, "data": "rows.csv"}})
    assert cells == texts
    assert "answer_is" in numbers[0] or numbers == texts
    meant = tuple(str(row[place]) for row, place in zip(options, gold, strict=True))
    told = read_as(tmp_path, {"choice": {**spec, "answer_is": "index" if is_index else "text"}}, lines)
    assert told == meant
    possible = all(0 <= answer < 4 and answer in row for row, answer in zip(options, answers, strict=True))
    if not possible:
        assert numbers == meant


# -- every JSON type in every place

PLACES: dict[str, dict[str, Any]] = {
    "prompt": {"generate": {**GENERATE, "prompt": "say {{v}} {{n}}", "answer": "fine"}},
    "joined": {"generate": {**GENERATE, "prompt": "{{ n ~ ' ' ~ v }}", "answer": "fine"}},
    "answer": {"generate": {**GENERATE, "answer": "{{v}}"}},
    "answer in words": {"generate": {**GENERATE, "answer": "it is {{v}}"}},
    "choices": {"choice": {**CHOICE, "choices": ["{{v}}", "other"], "answer": 0}},
    "choice field": {"choice": {**CHOICE, "choices": "{{v}}", "answer": 0}},
    "choice answer": {"choice": {**CHOICE, "choices": ["yes", "no"], "answer": "{{v}}"}},
    "messages": {"generate": {"data": "rows.jsonl", "messages": "{{v}}", "answer": "{{a}}"}},
    "id": {"generate": GENERATE, "id": "v"},
    "slice": {"generate": GENERATE, "slice_by": ["v"]},
    "cluster": {"generate": GENERATE, "cluster_by": "v"},
}
NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e300, 0.1, 1.0, -0.0]),
)
WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Z")), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
PYTHONS = ("None", "True", "False", "['", '["', "[]", "{'", "{}", "b'", "nan", "[None", "[True", "[False", "[{")


def texts_of(value: object) -> str:
    """Every text in a value, for what may be said because a row says it."""
    if isinstance(value, Mapping):
        return " ".join(f"{name} {texts_of(each)}" for name, each in value.items())
    if isinstance(value, list):
        return " ".join(map(texts_of, value))
    return value if isinstance(value, str) else ""


@pytest.mark.fault(
    "kind: Python's notation of data", "values of every JSON type in every place of a task", "read or refused"
)
@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(JSON, min_size=1, max_size=3))
def test_a_value_of_any_type_is_a_text_of_the_file_or_refused(tmp_path: Path, place: str, values: list[Any]) -> None:
    """Nothing that Python would print gets into an item, and what is refused names its line."""
    rows = [{"q": f"q{n}", "a": "fine", "n": n, "v": value, "o": ["x", "y"]} for n, value in enumerate(values)]
    source = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    try:
        plan = planned(tmp_path, PLACES[place], source)
    except SuiteError as error:
        for problem in error.problems:
            assert problem.place.startswith(("rows.jsonl:", "suite.yaml", str(tmp_path))), problem
        return
    for item, row in zip(plan.items, rows, strict=True):
        said = [item.item, item.prompt, item.expected, *item.options, *item.slices.values(), item.cluster or ""]
        for text in said:
            strange = [word for word in PYTHONS if word in text and word not in texts_of(row)]
            assert not strange, (place, row, text)
        if isinstance(row["v"], float) and place != "messages":
            assert any(json.dumps(row["v"]) in text for text in said), (place, row, said)


def test_answers_that_count_from_one_or_are_letters_say_what_to_write(tmp_path: Path) -> None:
    """A refusal names the way out; indices of which none is 0 are named though they fit."""

    def told(answers: list[object]) -> str:
        return refusal(tmp_path, {"choice": CHOICE}, [{"q": n, "o": ["x", "y"], "a": a} for n, a in enumerate(answers)])

    assert told([1, 2, "1", "2"]).endswith("where they count from 1: {{ field | int - 1 }}")
    assert told(["A", "B"]).endswith("the index of a letter: {{ 'ABCD'.index(field) }}")
    assert told(["x ", "y"]).endswith("there are spaces around it: {{ field.strip() }}")
    rows = [{"q": n, "o": ["x", "y", "z", "w"], "a": 1 + n % 3} for n in range(30)]
    said = " ".join(planned(tmp_path, {"choice": CHOICE}, rows).said)
    assert "answer: the option's index, from 0; no item has the index 0: where they count from 1, write" in said
    rows[7]["a"] = 0
    assert "no item has" not in " ".join(planned(tmp_path, {"choice": CHOICE}, rows).said)
