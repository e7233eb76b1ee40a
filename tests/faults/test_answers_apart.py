"""Answers that stand in their own prompts: examples that are the item, conversations that end with the answer,
templates that print it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.commands.check import check_suite
from harness.planning.leaks import Shown, leak_of
from tests.faults.asked import lines, planned, refusal, run_saying, written

NAMES = ("Paris", "Rome", "Oslo", "Bonn", "Lima", "Cairo", "Quito", "Delhi", "Accra", "Minsk")
ROWS = [{"id": f"q{n}", "q": f"What is town {n}?", "a": NAMES[n % 10], "b": "none"} for n in range(40)]
GENERATE: dict[str, Any] = {"data": "rows.jsonl", "prompt": "Question: {{q}}\nAnswer:", "answer": "{{a}}"}
CHOICE: dict[str, Any] = {**GENERATE, "choices": ["{{a}}", "{{b}}"]}
SHOTS: dict[str, Any] = {"few_shot": "rows.jsonl", "num_few_shot": 2}


@pytest.mark.fault("T11", "the data file as the file of examples", "the next example is used")
@pytest.mark.parametrize("kind", ["choice", "generate"])
def test_an_item_is_never_its_own_example(tmp_path: Path, kind: str) -> None:
    """The first two rows get the third one in their place, all others the first two, and it is said."""
    spec = CHOICE if kind == "choice" else GENERATE
    plan = planned(tmp_path, {kind: {**spec, **SHOTS}}, ROWS)
    for number, item in enumerate(plan.items):
        wanted = [each for each in (0, 1, 2) if each != number][:2]
        shots = "".join(f"Question: What is town {each}?\nAnswer: {NAMES[each]}\n\n" for each in wanted)
        assert item.prompt == f"{shots}Question: What is town {number}?\nAnswer:"
    assert "t: 2 items would be among the own examples; the next example is used instead" in plan.notes
    assert plan.leak is None


@pytest.mark.fault("T11", "an example with the item's id and another wording", "the next example is used")
def test_an_example_with_the_items_id_is_the_item(tmp_path: Path) -> None:
    """Where there are others to take its place."""
    shots = [{**row, "q": f"Town {n}, what is it?"} for n, row in enumerate(ROWS[:3])]
    (tmp_path / "shots.jsonl").write_text(lines(shots))
    plan = planned(tmp_path, {"generate": {**GENERATE, **SHOTS, "few_shot": "shots.jsonl"}, "id": "id"}, ROWS)
    assert "Town 0," not in plan.items[0].prompt
    assert "Town 2," in plan.items[0].prompt
    assert "Town 0," in plan.items[5].prompt


def test_no_other_example_is_refused(tmp_path: Path) -> None:
    """One example that is the item leaves it without any."""
    (tmp_path / "shots.jsonl").write_text(lines(ROWS[3:4]))
    told = refusal(tmp_path, {"generate": {**GENERATE, "few_shot": "shots.jsonl", "num_few_shot": 1}}, ROWS)
    assert told.startswith("shots.jsonl: tasks.t.generate.few_shot: an item is among its own 1 examples")


YAML = """task: leaking
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "Question: {{{{q}}}}\\nAnswer:"
doc_to_target: "{{{{a}}}}"
num_fewshot: 2
generation_kwargs: {{until: ["\\n"], max_gen_toks: 4}}
metric_list: [{{metric: exact_match}}]
"""


@pytest.mark.fault("T11", "an lm-eval task whose examples come from its test split", "another example stands there")
def test_lm_evals_examples_leave_the_item_out(tmp_path: Path) -> None:
    """No prompt holds its own question before its end; the other examples are those that lm-eval draws."""
    (tmp_path / "task.yaml").write_text(YAML.format(folder=tmp_path))
    plan = planned(tmp_path, {"lm_eval": "task.yaml"}, ROWS[:4])
    for number, item in enumerate(plan.items):
        assert item.prompt.count(f"town {number}?") == 1
        assert item.prompt.count("Question:") == 3
    assert any("would be among the own examples" in note for note in plan.notes)


@pytest.mark.fault("T14", "a conversation that still ends with the assistant's answer", "refused with its line")
def test_a_conversation_that_ends_with_the_answer_is_refused(tmp_path: Path) -> None:
    """The message says how to leave the turn out, and doing so works."""
    turns = [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris"}]
    spec = {"data": "rows.jsonl", "messages": "{{m}}", "answer": "Paris"}
    told = refusal(tmp_path, {"generate": spec}, [{"m": turns}])
    assert told.startswith("rows.jsonl:1: tasks.t.generate.messages: the last turn is the assistant's")
    assert "{{ field[:-1] }}" in told
    cut = {**spec, "messages": "{{ m[:-1] }}", "answer": "{{ m[-1].content }}"}
    plan = planned(tmp_path, {"generate": cut}, [{"m": turns}])
    assert (plan.items[0].prompt, plan.items[0].expected) == ("<user>Capital of France?\n<assistant>", "Paris")


LEAKS = {
    "a hint": "Question: {{q}}\nHint: {{a}}\nAnswer:",
    "at the end": "Question: {{q}} {{a}}",
    "at the beginning": "{{a}}! Question: {{q}}\nAnswer:",
    "behind words of the template": "The answer is {{a}}. Question: {{q}} What do you say?\n{{q}}",
    "the question answered above": "Question: {{q}}\nAnswer: {{a}}\n\nQuestion: {{q}}\nAnswer:",
}


@pytest.mark.fault(
    "T14", "templates that print the answer: hint, end, beginning, middle, answered above", "INVALID, named"
)
@pytest.mark.parametrize("kind", ["generate", "choice"])
@pytest.mark.parametrize("prompt", LEAKS.values(), ids=LEAKS)
def test_a_prompt_that_gives_the_answer_away_is_found(tmp_path: Path, kind: str, prompt: str) -> None:
    """Of every item; the suite can say that it belongs there."""
    spec = {**(CHOICE if kind == "choice" else GENERATE), "prompt": prompt}
    leak = planned(tmp_path, {kind: spec}, ROWS).leak
    assert leak is not None
    assert leak.matters
    assert leak.items == leak.of == 40
    assert planned(tmp_path, {kind: spec, "reference_in_prompt": True}, ROWS).leak is None


def test_a_text_of_the_row_that_ends_with_the_answer_is_found(tmp_path: Path) -> None:
    """As conversations in one field do."""
    rows = [{"f": f"User: {row['q']}\nBot: {row['a']}", "a": row["a"]} for row in ROWS]
    for prompt in ("{{f}}", "{{f}}\nNow you:"):
        leak = planned(tmp_path, {"generate": {**GENERATE, "prompt": prompt}}, rows).leak
        assert leak is not None
        assert leak.items == 40


def test_a_leaking_run_is_invalid(tmp_path: Path) -> None:
    """The check names task, items and place; with the key the same run is judged."""
    task: dict[str, Any] = {"generate": {**GENERATE, "prompt": LEAKS["a hint"]}}
    done = run_saying(tmp_path, task, ROWS, "Paris", "Paris")
    assert done.exit_code == 12
    (check,) = [each for each in done.verdict.candidates[0].checks if each.name == "answers apart"]
    assert check.says.startswith("t: the reference occurs in its own prompt for 40 of 40 items (")
    judged = run_saying(tmp_path, {**task, "reference_in_prompt": True}, ROWS, "Paris", "Paris")
    assert not [each for each in judged.verdict.candidates[0].checks if each.name == "answers apart"]


def test_check_does_not_call_a_leaking_suite_ready(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its last line says what a run would be, and which task's."""
    for prompt, ends in ((LEAKS["a hint"], "would be INVALID: see t above"), ("{{q}}", "is ready: quantgate run")):
        suite = written(tmp_path, {"generate": {**GENERATE, "prompt": prompt}}, ROWS).path
        assert check_suite(suite, limit=None, results=tmp_path / "results") == 0
        assert ends in " ".join(capsys.readouterr().out.split("\n\n")[-1].split())


LABELLED = [{"q": f"Text {n * 37} of {n}", "a": ("spam", "ham", "other")[n % 3]} for n in range(40)]


@pytest.mark.fault("T14", "a whole training text as the prompt, its label behind a list of all labels", "INVALID")
@pytest.mark.parametrize("behind", ["", "\n", "<|im_end|>", "\n\nEnd of the example."])
def test_a_label_at_the_end_is_found_behind_a_list_of_labels(tmp_path: Path, behind: str) -> None:
    """Options that the prompt lists do not hide that the right one stands at its end once more."""
    prompt = "Classify as spam, ham or other.\nText: {{q}}\nLabel: {{a}}" + behind
    spec = {**CHOICE, "prompt": prompt, "choices": ["spam", "ham", "other"]}
    leak = planned(tmp_path, {"choice": spec}, LABELLED).leak
    assert leak is not None
    assert leak.items == 40
    assert leak.where.startswith("at the end")
    for sound in (prompt.replace(" {{a}}", ""), "{{q}}\nIs it spam, ham or other?" + behind):
        assert planned(tmp_path, {"choice": {**spec, "prompt": sound}}, LABELLED).leak is None


def test_options_whose_right_one_is_listed_last_are_no_leak(tmp_path: Path) -> None:
    """The order of a list of options is the data's."""
    listed = {**CHOICE, "prompt": "{{q}}\nA. {{b}}\nB. {{a}}\nAnswer:"}
    assert planned(tmp_path, {"choice": listed}, ROWS).leak is None


@pytest.mark.fault("T14", "the last turn is the assistant's under another name: Assistant, model, gpt", "refused")
@pytest.mark.parametrize("role", ["Assistant", "ASSISTANT", "model", "gpt", "bot"])
def test_the_last_turn_is_the_assistants_under_any_name(tmp_path: Path, role: str) -> None:
    """Chat templates print roles that they do not know; what is refused is the answer."""
    spec = {"data": "rows.jsonl", "messages": "{{m}}", "answer": "Paris"}
    for one, other, text in (("role", "user", "content"), ("from", "human", "value")):
        turns = [{one: other, text: "Capital of France?"}, {one: role, text: "Paris"}]
        told = refusal(tmp_path, {"generate": spec}, [{"m": turns}])
        assert told.startswith("rows.jsonl:1: tasks.t.generate.messages: the last turn is the assistant's")


def shown(
    count: int, prompt: Callable[[int], str], answer: Callable[[int], str], others: Sequence[str] = ()
) -> list[Shown]:
    return [
        Shown(
            item=f"q{n}",
            prompt=prompt(n),
            references=(answer(n),),
            others=tuple(each for each in others if each != answer(n)),
            own=(),
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("examples", [0, 1, 2, 4, 8, 16])
@pytest.mark.parametrize("labels", [("yes", "no"), ("A", "B", "C", "D"), tuple("0123456789")])
@pytest.mark.parametrize("is_fixed", [True, False])
def test_labels_in_examples_are_no_leak(examples: int, labels: tuple[str, ...], is_fixed: bool) -> None:
    """Every label stands behind `Label:` in the examples, fixed or drawn anew: no place tells items apart."""
    source = random.Random(examples)
    gold = [source.choice(labels) for _ in range(200)]

    def drawn(n: int) -> str:
        pick = random.Random(0 if is_fixed else n)
        return "".join(f"text {pick.random()}\nLabel: {pick.choice(labels)}\n\n" for _ in range(examples))

    def prompt(n: int) -> str:
        return f"{drawn(n)}text {n}: {gold[-n]} or so\nLabel:"

    assert leak_of(shown(200, prompt, lambda n: gold[n])) is None
    assert leak_of(shown(200, prompt, lambda n: gold[n], labels)) is None


def test_extractive_questions_and_listed_options_are_no_leak(tmp_path: Path) -> None:
    """Answers from a passage, from a form, and options that the prompt lists."""
    source = random.Random(1)
    passages = [
        f"{source.choice(['Once', 'Then'])} {name} {source.choice(['saw', 'met'])} it {n}."
        for n, name in enumerate(NAMES * 4)
    ]
    assert leak_of(shown(40, lambda n: f"{passages[n]}\nWho?", lambda n: NAMES[n % 10])) is None
    form = [{"f": f"Name: N{n}\nTown: {NAMES[n % 10]}\nAge: {n}", "a": NAMES[n % 10]} for n in range(40)]
    assert planned(tmp_path, {"generate": {**GENERATE, "prompt": "{{f}}\nThe town:"}}, form).leak is None
    parts = [{"f": f"{NAMES[n % 10]}{n} {NAMES[(n * 7 + 3) % 10]}on", "a": ""} for n in range(40)]
    for place, prompt in ((0, "The first name of {{f}} is"), (1, "{{f}}\nThe last name:")):
        named = [{**row, "a": row["f"].split()[place]} for row in parts]
        assert planned(tmp_path, {"generate": {**GENERATE, "prompt": prompt}}, named).leak is None
    listed = {**CHOICE, "prompt": "{{q}}\nA. {{a}}\nB. {{b}}\nAnswer:"}
    assert planned(tmp_path, {"choice": listed}, ROWS).leak is None


def test_a_rare_repetition_is_only_noted(tmp_path: Path) -> None:
    """One question of 200 that stands twice in the data, once as a hand-written example."""
    rows = [{"q": f"What is {n}?", "a": f"it {n}"} for n in range(200)]
    prompt = "Question: What is 7?\nAnswer: it 7\n\nQuestion: {{q}}\nAnswer:"
    leak = planned(tmp_path, {"generate": {**GENERATE, "prompt": prompt}}, rows).leak
    assert leak is not None
    assert (leak.items, leak.first, leak.matters) == (
        1,
        (planned(tmp_path, {"generate": GENERATE}, rows).items[7].item,),
        False,
    )


@pytest.mark.fault(
    "kind: the answer in its own prompt", "answers printed at random places of random templates", "found"
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.sampled_from(["", "Hint: ", "The right one is ", "(", "[gold] "]),
    behind=st.sampled_from(["", ".", ")\nAnswer:", " is right.\nAnswer:", "\n\nReply:"]),
    first=st.booleans(),
    seed=st.integers(0, 999),
)
def test_an_answer_is_found_wherever_the_template_writes_it(before: str, behind: str, first: bool, seed: int) -> None:
    """Before or behind the question, between any words."""
    source = random.Random(seed)
    gold = [source.choice(NAMES) for _ in range(30)]
    questions = [f"What about {source.random()} and {source.choice(NAMES)}?" for _ in range(30)]

    def prompt(n: int) -> str:
        said = f"{before}{gold[n]}{behind}"
        return f"{said}\n{questions[n]}" if first else f"{questions[n]}\n{said}"

    leak = leak_of(shown(30, prompt, lambda n: gold[n]))
    assert leak is not None
    assert leak.items >= 27
