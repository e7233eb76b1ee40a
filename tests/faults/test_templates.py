"""A suite's templates: in a sandbox, bounded, and about the row."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.datafiles.formats import Row
from harness.datafiles.values import Number
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.prompts.templates import render
from tests.faults.asked import planned, refusal

GENERATE: dict[str, Any] = {"data": "rows.jsonl", "prompt": "{{q}}", "answer": "{{a}}"}
ROWS = [{"q": f"question {n}", "a": "x", "l": ["a", "b"]} for n in range(4)]
ESCAPES = [
    "{{ cycler.__init__.__globals__.os.system('touch MARK') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ '{0.__class__.__mro__}'.format(q) }}",
    "{{ self._TemplateReference__context }}",
    "{{ q.__init__.__globals__ }}",
    "{{ l.append(1) }}",
    "{{ (q|attr('__class__')) }}",
    "{% set ns = namespace() %}{{ ns.__class__ }}",
]


@pytest.mark.fault(
    "S1", "Jinja that reaches Python, in a prompt, a choice, an answer and messages", "refused, nothing runs"
)
@pytest.mark.parametrize("template", ESCAPES)
@pytest.mark.parametrize("place", ["prompt", "answer", "messages", "choices", "choice answer"])
def test_a_template_reaches_no_python(tmp_path: Path, template: str, place: str) -> None:
    """A suite is data: the row is named, exit 2, and no file appears."""
    mark = tmp_path / "mark"
    hostile = template.replace("MARK", str(mark)) + "{{q}}"
    choice: dict[str, Any] = {**GENERATE, "choices": ["x", "y"]}
    task = {
        "prompt": {"generate": {**GENERATE, "prompt": hostile}},
        "answer": {"generate": {**GENERATE, "answer": hostile}},
        "messages": {"generate": {"data": "rows.jsonl", "messages": hostile, "answer": "x"}},
        "choices": {"choice": {**choice, "choices": [hostile, "y"]}},
        "choice answer": {"choice": {**choice, "answer": hostile}},
    }[place]
    assert refusal(tmp_path, task, ROWS).startswith("rows.jsonl:1: tasks.t.")
    assert not mark.exists()


@pytest.mark.fault("S1", "Jinja that reaches Python in an lm-eval YAML of the suite", "refused, nothing runs")
def test_a_local_yaml_reaches_no_python(tmp_path: Path) -> None:
    """lm-eval's own environment runs in a sandbox, with its filters and its notation."""
    mark = tmp_path / "mark"
    yaml = (
        "task: local\ndataset_path: json\ntest_split: test\noutput_type: generate_until\n"
        f"dataset_kwargs: {{cache_dir: {tmp_path}/cache, data_files: {{test: {tmp_path}/rows.jsonl}}}}\n"
        "doc_to_text: \"PROMPT\"\ndoc_to_target: '{{a}}'\ngeneration_kwargs: {until: ['.']}\n"
        "metric_list: [{metric: exact_match}]\n"
    )
    escape = f"{{{{ cycler.__init__.__globals__.os.system('touch {mark}') }}}}"
    (tmp_path / "task.yaml").write_text(yaml.replace("PROMPT", escape))
    assert "unsafe" in refusal(tmp_path, {"lm_eval": "task.yaml"}, ROWS)
    assert not mark.exists()
    (tmp_path / "task.yaml").write_text(yaml.replace("PROMPT", "{{q | regex_replace('question', 'Q')}} {{l}}"))
    assert planned(tmp_path, {"lm_eval": "task.yaml"}).items[0].prompt == "Q 0 ['a', 'b']"


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in q * 99999 %}{% for j in q * 99999 %}{% endfor %}{% endfor %}",
        "{{ 'x' * 10**9 }}",
        "{{ 10**(10**9) }}",
        "{{ 'x'.center(10**9) }}",
        "{{ 'x' | center(10**9) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ l | batch(10**9, 'x') | list }}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x=3) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
        "{% macro two(n) %}{% if n %}{{ two(n - 1) }}{{ two(n - 1) }}{% endif %}{% endmacro %}{{ two(60) }}",
        "{% for i in l recursive %}{% if loop.depth < 60 %}{{ loop(l) }}{% endif %}{% endfor %}",
        "{{ ('x' * 10**6) | replace('x', 'y' * 10**6) }}",
        "{{ ('x' * 10**6).replace('x', 'y' * 10**6) }}",
        "{{ ('x' * 10**6).join(['y'] * 10**6) }}",
        "{{ ['y'] * 10**6 | join('x' * 10**6) }}",
        "{% macro again(x) %}{{ again(x) }}{% endmacro %}{{ again(1) }}",
    ],
)
def test_a_template_ends(tmp_path: Path, template: str) -> None:
    """Loops, repetitions, powers and widths are bounded: refused with the row, in no time."""
    began = time.monotonic()
    told = refusal(tmp_path, {"generate": {**GENERATE, "prompt": template + "{{q}}"}}, ROWS)
    assert told.startswith("rows.jsonl:1: tasks.t.generate.prompt: ")
    assert time.monotonic() - began < 20


@pytest.mark.fault("S2", "template text inside data and choices", "stays as it is")
def test_template_text_in_data_is_text(tmp_path: Path) -> None:
    """Only the suite's own templates are rendered."""
    rows = [{"q": "{{ 7 * 7 }}", "a": "{% raw %}", "o": ["{{ a }}", "{% raw %}"]}]
    plan = planned(tmp_path, {"choice": {**GENERATE, "choices": "{{o}}"}}, rows)
    item = plan.items[0]
    assert (item.prompt, item.options, item.expected) == ("{{ 7 * 7 }}", ("{{ a }}", "{% raw %}"), "{% raw %}")


@pytest.mark.fault("T24", "a prompt with {q} where {{q}} is meant", "refused, with what to write")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"prompt": "{q} ="}, "{q} is plain text here: write {{q}} for the field 'q'"),
        ({"prompt": "What is it?"}, "the template reads no field of the row, so that every item has the same prompt"),
        ({"prompt": None, "messages": "Say it"}, "tasks.t.generate.messages: the template reads no field"),
    ],
)
def test_a_template_that_reads_nothing_is_refused(tmp_path: Path, change: dict[str, object], expected: str) -> None:
    """One question asked again and again is no task."""
    assert expected in refusal(tmp_path, {"generate": {**GENERATE, **change}}, ROWS)


def test_a_choice_may_have_no_prompt_of_its_own(tmp_path: Path) -> None:
    """Pairs of sentences, which differ by row; not with fixed options, nor with a forgotten brace."""
    spec = {"data": "rows.jsonl", "prompt": "", "choices": ["{{q}}", "{{a}}"], "answer": 0}
    assert len(planned(tmp_path, {"choice": spec}, ROWS).items) == 4
    assert "reads no field" in refusal(tmp_path, {"choice": {**spec, "choices": ["x", "y"]}})
    assert "write {{q}} for" in refusal(tmp_path, {"choice": {**spec, "prompt": "{q}"}})


@pytest.mark.fault("T30", "messages with keys that are null, as Parquet fills them", "left out")
def test_null_keys_of_messages_are_left_out(tmp_path: Path) -> None:
    """A template that asks whether they are defined sees that they are not."""

    class Seeing(ScriptedTokenizer):
        def chat(self, messages: Any, *, add_generation_prompt: bool = True) -> str:
            assert all("tool_calls" not in each for each in messages)
            return super().chat(messages, add_generation_prompt=add_generation_prompt)

    rows = [{"m": [{"role": "user", "content": "hi", "tool_calls": None}], "a": "x"}]
    spec = {"data": "rows.jsonl", "messages": "{{m}}", "answer": "{{a}}"}
    assert planned(tmp_path, {"generate": spec}, rows, Seeing()).items[0].prompt == "<user>hi\n<assistant>"


@pytest.mark.fault("S13", "a chat template of the model's that reaches Python", "refused by its sandbox")
def test_a_models_chat_template_reaches_no_python(tmp_path: Path) -> None:
    """It is the row's problem, exit 2, and nothing runs."""
    import tokenizers
    import transformers

    from harness.planning.tokens import HfTokenizer

    mark = tmp_path / "mark"
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "a": 1, "</s>": 2}, unk_token="[UNK]"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    hostile = f"{{{{ cycler.__init__.__globals__.os.system('touch {mark}') }}}}"
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, chat_template=hostile, eos_token="</s>", unk_token="[UNK]"
    )
    fast.save_pretrained(str(tmp_path / "tokenizer"))
    spec = {"data": "rows.jsonl", "messages": "{{q}}", "answer": "{{a}}"}
    with pytest.raises(SuiteError, match=r"rows\.jsonl:1: tasks\.t\.generate\.messages: the chat template refused"):
        planned(tmp_path, {"generate": spec}, ROWS, HfTokenizer(str(tmp_path / "tokenizer")))
    assert not mark.exists()


SOUND = [
    ("{{ n }}", "1e3"), ("{{ t | join(', ') }}", "x, y"), ("{{ none or 'no' }}", "no"), ("{{ '%.2f' % n }}", "1000.00"),
    ("{{ '%s/%d' % (q, 5) }}", "hey/5"), ("{{ m.items }}", "field"), ("{{ t | tojson }}", '["x", "y"]'),
    ("{{ q[:2] }}", "he"),
    ("{% for x in t %}{{ loop.index }}{{ x }}{% if not loop.last %};{% endif %}{% endfor %}", "1x;2y"),
    ("{{ 'yes' if flag else 'no' }}", "yes"), ("{{ flag }}", "true"), ("{{ t | map('upper') | join }}", "XY"),
    ("{{ q ~ n ~ flag }}", "hey1e3true"), ("{{ '{:>5}'.format(q) }}", "  hey"), ("{{ m.d.index('B') }}", "1"),
    ("{% set s = q | trim %}{{ s }}\n", "hey\n"), ("{{ q is defined }}", "true"), ("{{ t | length + 1 }}", "3"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "expected"), SOUND)
def test_what_templates_are_for_works(template: str, expected: str) -> None:
    """The sandbox refuses nothing that a prompt needs."""
    fields = {
        "q": "hey", "n": Number("1e3"), "t": ["x", "y"], "none": None, "flag": True,
        "m": {"items": "field", "d": ["A", "B"]},
    }  # fmt: skip
    assert render(template, Row(fields=fields, place="x:1"), "k") == expected


NAMES = st.sampled_from(["q", "none", "l", "m", "f"])
FILTERS = st.sampled_from(["", "|string", "|upper", "|trim", "|replace('a','b')", "|join(',')", "|center(3)", "|indent",
                           "|first", "|list", "|escape", "|title", "|default('')", "|format", "|safe"])  # fmt: skip


@pytest.mark.fault(
    "kind: Python's notation in prompts", "random templates over null, lists, mappings and floats", "texts only"
)
@given(st.lists(st.tuples(NAMES, FILTERS, FILTERS), min_size=1, max_size=3), st.sampled_from(["", "~", "{{%s ~ ''}}"]))
def test_no_template_prints_pythons_notation(parts: list[tuple[str, str, str]], joint: str) -> None:
    """Whatever is printed, filtered and joined: a text of the row, or a refusal."""
    fields = {"q": "text", "none": None, "l": ["a", None], "m": {"k": 1}, "f": 0.5}
    expressions = ["".join(part) for part in parts]
    template = "{{" + "~".join(expressions) + "}}" if joint else "".join(f"{{{{{each}}}}}" for each in expressions)
    try:
        found = render(template, Row(fields=fields, place="x:1"), "k")
    except SuiteError:
        return
    assert not any(sign in found for sign in ("None", "NONE", "[", "{", "0.5", "<")), (template, found)


def test_the_sandbox_is_no_slower_than_lm_evals(tmp_path: Path) -> None:
    """Templates are compiled once: ten thousand rows take seconds."""
    began = time.monotonic()
    row = Row(fields={"q": "x", "l": ["a"]}, place="x:1")
    for _ in range(10_000):
        render("Question: {{q}}\nAnswer: {{l[0]}}", row, "k")
    assert time.monotonic() - began < 20, sys.version


@pytest.mark.fault("T24", "an answer that is a field's name, or a field in single braces", "refused")
@pytest.mark.parametrize("answer", ["a", " a ", "{a}", "The answer is {a}."])
def test_an_answer_that_reads_no_field_is_refused(tmp_path: Path, answer: str) -> None:
    """It would be the same text for every item. A text that is no field's name is one, and so is an option."""
    told = refusal(tmp_path, {"generate": {**GENERATE, "answer": answer}}, ROWS)
    assert told.endswith("is plain text here: write {{a}} for the field 'a'")
    assert "tasks.t.generate.answer" in told
    assert planned(tmp_path, {"generate": {**GENERATE, "answer": "no"}}, ROWS).items[0].expected == "no"
    named = {**GENERATE, "choices": ["a", "q"], "answer": "a"}
    assert planned(tmp_path, {"choice": named}, ROWS).items[0].expected == "a"
    braces = {**GENERATE, "choices": ["{a}", "no"], "answer": 0}
    assert "tasks.t.choice.choices[0]: '{a}' is plain text here" in refusal(tmp_path, {"choice": braces}, ROWS)


@pytest.mark.fault("kind: a template without end", "a regular expression that backtracks for ages", "refused")
def test_a_regular_expression_ends(tmp_path: Path) -> None:
    """lm-eval's filter with a pattern that would take years; parentheses too deep to be read are told too."""
    spec = {**GENERATE, "prompt": "{{ ('a' * 40) | regex_replace('(a|a)+$b', 'z') }}{{q}}"}
    started = time.monotonic()
    told = refusal(tmp_path, {"generate": spec}, ROWS)
    assert "refused in a template: a regular expression that takes more than" in told
    assert time.monotonic() - started < 60
    sound = {**GENERATE, "prompt": "{{ q | regex_replace('(\\\\w+) (\\\\d+)', '\\\\2 \\\\1') }}"}
    assert planned(tmp_path, {"generate": sound}, ROWS).items[1].prompt == "1 question"
    deep = {**GENERATE, "prompt": "{{ " + "(" * 500 + "q" + ")" * 500 + " }}"}
    assert refusal(tmp_path, {"generate": deep}, ROWS).startswith("rows.jsonl:1: tasks.t.generate.prompt")


@pytest.mark.fault("T24", "a prompt that reads a field which is the same in every row", "refused")
@pytest.mark.parametrize("prompt", ["{{task}}", "{% if z is defined %}{{q}}{% endif %}Go on:", "{{ q[:4] }}"])
def test_prompts_that_are_all_the_same_are_refused(tmp_path: Path, prompt: str) -> None:
    """The field that differs was forgotten. Where only some are alike `check` counts them; the options may differ."""
    rows = [{"q": f"question {n}", "a": "x", "task": "Go on:"} for n in range(10)]
    spec = {**GENERATE, "prompt": prompt}
    told = refusal(tmp_path, {"generate": spec}, rows)
    assert "tasks.t.generate.prompt: all 10 items have the same prompt, " in told
    assert "tasks.t.choice.prompt: all 10 items" in refusal(tmp_path, {"choice": {**spec, "choices": ["x", "y"]}}, rows)
    options = {**spec, "choices": ["{{q}}", "y"], "answer": 0}
    assert len(planned(tmp_path, {"choice": options}, rows).items) == 10
    plan = planned(tmp_path, {"generate": GENERATE}, [{**row, "n": n} for n, row in enumerate([*ROWS, ROWS[0]])])
    assert "1 of 5 items have the prompt of an item before them" in plan.said


def test_a_field_whose_name_is_no_word_can_be_read(tmp_path: Path) -> None:
    """Tables of spreadsheets have such headers; the refusal says how. A field called `row` is that field."""
    (tmp_path / "t.csv").write_text("Question text,Right-answer,row\nWhere?,Rome,1\nWho?,Ann,2\n")
    spec = {"data": "t.csv", "prompt": "{{ Question text }}", "answer": "x"}
    told = refusal(tmp_path, {"generate": spec})
    assert told.endswith("; a field whose name is no single word is {{ row['Question text'] }}")
    (tmp_path / "t.csv").write_text("Question text,Right-answer\nWhere?,Rome\nWho?,Ann\n")
    spec = {**spec, "prompt": "{{ row['Question text'] }}", "answer": "{{ row['Right-answer'] }}"}
    items = planned(tmp_path, {"generate": spec}).items
    assert [(item.prompt, item.expected) for item in items] == [("Where?", "Rome"), ("Who?", "Ann")]
    own = [{"q": f"{n}", "row": f"r{n}", "a": "x"} for n in range(2)]
    assert planned(tmp_path, {"generate": {**GENERATE, "prompt": "{{row}}"}}, own).items[1].prompt == "r1"


@pytest.mark.parametrize("quote", ['"', "'"])
def test_messages_typed_as_a_text_are_refused(tmp_path: Path, quote: str) -> None:
    """Braces around the field only: the list would be what the user says."""
    messages = "[{'role': 'user', 'content': '{{q}}'}]".replace("'", quote)
    told = refusal(tmp_path, {"generate": {"data": "rows.jsonl", "messages": messages, "answer": "x"}}, ROWS)
    assert "expected a list of messages, got one written as a string" in told
    listed = "{{ [{'role': 'user', 'content': q}] }}"
    spec = {"data": "rows.jsonl", "messages": listed, "answer": "x"}
    assert planned(tmp_path, {"generate": spec}, ROWS).items[0].prompt == "<user>question 0\n<assistant>"
