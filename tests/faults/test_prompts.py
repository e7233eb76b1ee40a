"""Prompts as they are written: special tokens once and never behind the text, the task's whole request, one meaning of
an empty prompt, and the same prompt for the same item whatever else is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, processors

from harness.engines.protocol import GenerateRequest, ScoreRequest
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import HfTokenizer, Tokenizer
from harness.suite.load import load_suite
from tests.faults.toy_tokenizers import BYTE_LETTERS, SPECIAL, saved

TURNS = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}<assistant>"
TURNS_OPEN = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
ROWS = [{"q": f"Question {n}? Answer:", "a": "Paris", "b": "Rome city"} for n in range(4)]
CHOICE = {"data": "rows.jsonl", "prompt": "{{q}}", "choices": ["{{a}}", "{{b}}"], "answer": "{{a}}"}
GENERATE = {"data": "rows.jsonl", "prompt": "{{q}}", "answer": "{{a}}"}
CHAT = {**{key: value for key, value in CHOICE.items() if key != "prompt"}, "messages": "{{q}}"}


def byte_tokenizer(folder: Path, template: Sequence[str], chat: str = TURNS) -> HfTokenizer:
    """Bytes, and what `template` puts around a text: `["$A", "</s>"]`."""
    vocabulary = {name: place for place, name in enumerate([*SPECIAL, *BYTE_LETTERS.values()])}
    inner = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    ids = [(name, SPECIAL.index(name)) for name in SPECIAL]
    inner.post_processor = processors.TemplateProcessing(single=list(template), special_tokens=ids)
    return saved(inner, folder, chat_template=chat)


def plan(
    folder: Path,
    task: Mapping[str, Any],
    tokenizer: Tokenizer | None = None,
    *,
    rows: Sequence[Mapping[str, object]] = ROWS,
    limit: int | None = None,
    **more: object,
) -> TaskPlan:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = {
        "suite": "written",
        "model": "none",
        "variants": {"full": {"engine": "scripted", "baseline": True}},
        "tasks": {"t": task},
        **more,
    }
    (folder / "suite.yaml").write_text(json.dumps(suite))
    loaded = load_suite(folder / "suite.yaml")
    (found,) = plan_suite(loaded, tokenizer or ScriptedTokenizer(), context_length=None, limit=limit)
    return found


def asked(found: TaskPlan, item: int = 0) -> ScoreRequest:
    (request,) = found.requests[item]
    assert isinstance(request, ScoreRequest)
    return request


def prompt(found: TaskPlan, item: int = 0) -> tuple[int, ...]:
    (request,) = found.requests[item]
    assert isinstance(request, GenerateRequest)
    return request.prompt


@pytest.mark.fault("T7", "a tokenizer that puts an end token behind every text", "left out, and lm-eval's ids named")
@pytest.mark.parametrize("around", [["$A", "</s>"], ["<s>", "$A", "</s>"], ["[CLS]", "$A", "</s>", "</s>"]])
def test_what_a_tokenizer_puts_behind_a_text_is_not_asked(tmp_path: Path, around: list[str]) -> None:
    """The option alone is scored, and a generation starts behind the prompt's text."""
    appending = byte_tokenizer(tmp_path / "appending", around)
    found = plan(tmp_path, {"choice": CHOICE}, appending)
    request, start = asked(found), tuple(SPECIAL.index(name) for name in around[: around.index("$A")])
    written = appending.encode("Question 0? Answer:", add_special_tokens=False)
    assert request.context == start + written
    assert request.continuations == tuple(
        appending.encode(each, add_special_tokens=False) for each in (" Paris", " Rome city")
    )
    assert prompt(plan(tmp_path, {"generate": GENERATE}, appending)) == start + written
    (note,) = found.notes
    assert note.startswith("t: in 4 of 4 items (the first: ")
    assert "special tokens that the tokenizer puts behind a text are left out" in note


TEMPLATES = [
    ("T9", ["<s>", "$A"], "<s>" + TURNS),
    ("T9", ["<s>", "$A"], "\n<s>" + TURNS),
    ("T9", ["[CLS]", "$A"], "[CLS]" + TURNS),
    ("T9", ["[CLS]", "$A", "</s>"], "[CLS]<s>" + TURNS),
    ("T9", ["<s>", "$A"], TURNS),
]


@pytest.mark.fault("T9", "a chat template that begins with a start token, with a line break before it, or with none")
@pytest.mark.parametrize(("row", "around", "template"), TEMPLATES)
@pytest.mark.parametrize("form", ["choice", "generate"])
def test_text_out_of_a_chat_template_gets_no_special_tokens(
    tmp_path: Path, row: str, around: list[str], template: str, form: str
) -> None:
    """transformers' own rule: the template has said it all. The variant's tokenizer is asked the same way."""
    del row
    chatty = byte_tokenizer(tmp_path / "chatty", around, template)
    task: dict[str, object] = {**CHAT} if form == "choice" else {**GENERATE, "messages": "{{q}}"}
    task = {key: value for key, value in task.items() if key != "prompt"}
    found = plan(tmp_path, {form: task}, chatty)
    rendered = chatty.chat([{"role": "user", "content": "Question 0? Answer:"}])
    ids = chatty.encode(rendered, add_special_tokens=False)
    assert (asked(found).context if form == "choice" else prompt(found)) == ids
    assert not any(each.add_special_tokens for each in found.texts)
    told = any("a prompt that brings its special tokens gets no others" in note for note in found.notes)
    assert told is (not template.startswith("<s>") and "</s>" not in around)


@pytest.mark.fault("T9", "a plain prompt that already begins with what the tokenizer puts there")
def test_a_written_start_token_stands_once(tmp_path: Path) -> None:
    """Also where it is not the BOS token, as GLM's."""
    marked = byte_tokenizer(tmp_path / "marked", ["[CLS]", "$A"])
    found = plan(tmp_path, {"generate": GENERATE}, marked, rows=[{"q": "[CLS]Where?", "a": "x"}])
    assert prompt(found) == marked.encode("[CLS]Where?", add_special_tokens=False)


@pytest.mark.fault(
    "T17", "a chat template that writes today's date into every prompt", "said by `check` and the report"
)
@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ strftime_now('%d %b %Y %H:%M:%S') }}" + TURNS, True),
        ("{% set d = strftime_now('%Y') | int %}{% if d > 0 %}{{ d }}{% endif %}" + TURNS, True),
        ("{% if not messages[0]['content'] %}{{ strftime_now('%Y') }}{% endif %}" + TURNS, False),
        (TURNS, False),
    ],
)
def test_a_prompt_that_depends_on_the_clock_is_named(tmp_path: Path, template: str, told: bool) -> None:
    """Rendered at two pretended times; a template that asks for the time and does not write it is not blamed."""
    dated = byte_tokenizer(tmp_path / "dated", ["$A"], template)
    found = plan(tmp_path, {"choice": CHAT}, dated)
    assert any("its prompts hold the time they are made at" in note for note in found.notes) is told


@pytest.mark.fault("T25", "`until` with a backslash and an n, as YAML's single quotes leave it", "a note")
def test_a_literal_backslash_in_until_is_named(tmp_path: Path) -> None:
    """A real line break is not; nor is a stop text that only contains a backslash."""
    found = plan(tmp_path, {"generate": {**GENERATE, "until": ["\\n", "\n\n", "\\n\\begin"]}})
    (note,) = found.notes
    assert (
        note
        == 't: stops at \\n, which is a backslash and a letter; a line break in YAML is written in double quotes: "\\n"'
    )


@pytest.mark.fault("T27", "an empty prompt to generate from")
@pytest.mark.parametrize("around", [["$A"], ["<s>", "$A"], ["[CLS]", "$A", "</s>"]])
def test_an_empty_prompt_means_the_same_everywhere(tmp_path: Path, around: list[str]) -> None:
    """It starts from the start token, in `choice` and in `generate`."""
    any_kind = byte_tokenizer(tmp_path / "any", around)
    rows = [{"q": "", "a": "x", "b": "y"}]
    (choice,) = plan(tmp_path, {"choice": CHOICE}, any_kind, rows=rows).requests
    assert isinstance(choice[0], ScoreRequest)
    generate = plan(tmp_path, {"generate": GENERATE}, any_kind, rows=rows)
    assert prompt(generate) == choice[0].context == (any_kind.prefix_token,)


FEW_SHOT = """
task: local_few
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{train: {folder}/train.jsonl, test: {folder}/rows.jsonl}}}}
{split}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: ["yes", "no"]
doc_to_target: 0
num_fewshot: 2
"""


@pytest.mark.fault("T18", "examples drawn from one running generator, items left out by --limit or `limit:`")
@pytest.mark.parametrize("split", ["training_split: train", "fewshot_split: test"])
def test_an_item_has_the_same_prompt_under_every_limit(tmp_path: Path, split: str) -> None:
    """A limited run is a part of the whole one, and the whole one's prompts are lm-eval's."""
    from harness.planning.lm_eval.lm_eval_tasks import lm_eval_docs

    (tmp_path / "train.jsonl").write_text("".join(json.dumps({"q": f"T{n}"}) + "\n" for n in range(12)))
    (tmp_path / "task.yaml").write_text(FEW_SHOT.format(folder=tmp_path, split=split))
    rows = [{"q": f"Q{n}"} for n in range(9)]
    whole = {item.item: item for item in plan(tmp_path, {"lm_eval": "task.yaml"}, rows=rows).items}
    for limit in (1, 2, 3, 5, 8):
        for task in ({"lm_eval": "task.yaml"}, {"lm_eval": "task.yaml", "limit": limit}):
            some = plan(tmp_path, task, rows=rows, limit=None if "limit" in task else limit)
            assert len(some.items) == limit
            for item in some.items:
                assert (item.prompt, item.prompt_hash) == (whole[item.item].prompt, whole[item.item].prompt_hash)
    loaded = load_suite(tmp_path / "suite.yaml")
    task = lm_eval_docs(loaded, "t", loaded.suite.tasks["t"]).task
    task.build_all_requests()
    assert [each.args[0] for each in task.instances[::2]] == [item.prompt for item in whole.values()]


@pytest.mark.fault("T32", "an lm-eval task whose answer is a text of digits", "the message names key and document")
def test_a_task_that_lm_eval_cannot_read_is_told_with_its_key(tmp_path: Path) -> None:
    """lm-eval takes digits for an index and stumbles; the key and the document it was reading are named."""
    task = FEW_SHOT.replace("doc_to_target: 0", 'doc_to_target: "{{{{n}}}}"').replace("num_fewshot: 2", "")
    (tmp_path / "train.jsonl").write_text('{"q": "x", "n": "4"}\n')
    (tmp_path / "task.yaml").write_text(task.format(folder=tmp_path, split=""))
    with pytest.raises(SuiteError) as caught:
        plan(tmp_path, {"lm_eval": "task.yaml"}, rows=[{"q": "2+2", "n": "4"}])
    assert "doc_to_target of document 0 is 4, which lm-eval takes for an index from 0 into 2 options" in str(
        caught.value
    )
    (tmp_path / "task.yaml").write_text(task.replace("{{{{q}}}}", "{{{{q.x.y}}}}").format(folder=tmp_path, split=""))
    with pytest.raises(SuiteError, match=r"lm-eval could not load task\.yaml: doc_to_text of document 0: "):
        plan(tmp_path, {"lm_eval": "task.yaml"}, rows=[{"q": "2+2", "n": "1"}])


SHUFFLING = """
import random
import numpy as np

def shuffled(docs):
    def one(doc):
        order = [doc["a"], doc["b"]]
        random.shuffle(order)
        return {"options": order, "gold": order.index(doc["a"]), "mark": int(np.random.randint(1000))}
    return docs.map(one, load_from_cache_file=False)
"""


@pytest.mark.fault("kind: hidden state", "a task whose own code shuffles options with the global generator")
def test_a_task_that_shuffles_is_the_same_every_time(tmp_path: Path) -> None:
    """lm-eval seeds the global generators before it loads a task; so does the plan, and leaves them as they were."""
    import random

    (tmp_path / "shuffling.py").write_text(SHUFFLING)
    task = FEW_SHOT.replace("doc_to_target: 0", "doc_to_target: gold").replace("num_fewshot: 2", "")
    task = task.replace(
        'doc_to_choice: ["yes", "no"]', "doc_to_choice: options\nprocess_docs: !function shuffling.shuffled"
    )
    (tmp_path / "train.jsonl").write_text('{"q": "x", "a": "y", "b": "z"}\n')
    (tmp_path / "task.yaml").write_text(task.format(folder=tmp_path, split=""))
    rows = [{"q": f"Q{n}", "a": f"right {n}", "b": f"wrong {n}"} for n in range(12)]
    random.seed(5)
    before = random.getstate()
    first = plan(tmp_path, {"lm_eval": "task.yaml"}, rows=rows, allow_task_code=True)
    assert random.getstate() == before
    random.seed(6)
    assert plan(tmp_path, {"lm_eval": "task.yaml"}, rows=rows, allow_task_code=True).hash == first.hash
    assert len({item.options[0].split()[0] for item in first.items}) == 2


@pytest.mark.fault("kind: hidden state", "few-shot tasks of random sizes, examples and limits")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(4, 12), shots=st.integers(1, 3), limit=st.integers(1, 12), own=st.booleans())
def test_any_limit_asks_a_part_of_the_whole(tmp_path: Path, count: int, shots: int, limit: int, own: bool) -> None:
    """Whatever is left out, the prompts of the rest are those of the whole run."""
    (tmp_path / "train.jsonl").write_text("".join(json.dumps({"q": f"T{n}"}) + "\n" for n in range(5)))
    split = "fewshot_split: test" if own else "training_split: train"
    (tmp_path / "task.yaml").write_text(FEW_SHOT.format(folder=tmp_path, split=split))
    task = {"lm_eval": "task.yaml", "num_few_shot": shots}
    rows = [{"q": f"Q{n}"} for n in range(count)]
    whole = {item.item: item.prompt for item in plan(tmp_path, task, rows=rows).items}
    some = {item.item: item.prompt for item in plan(tmp_path, task, rows=rows, limit=limit).items}
    assert some.items() <= whole.items()
    assert len(some) == min(limit, count)


PREFIXED = """
task: prefixed
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: {type}
doc_to_text: "{{{{q}}}}"
doc_to_target: {target}
gen_prefix: "{prefix}"
{more}
"""
OPTIONS = 'doc_to_choice: ["3", "4"]'
MUTUAL = OPTIONS + "\nmetric_list: [{{metric: acc_mutual_info}}, {{metric: acc}}, {{metric: f1}}]"


@pytest.mark.fault("T10", "an lm-eval task with `gen_prefix`, the beginning of the answer")
@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize(("kind", "prefix"), [("generate_until", "The answer is"), ("multiple_choice", "Answer:")])
def test_the_beginning_of_the_answer_is_kept(tmp_path: Path, kind: str, prefix: str, chat: bool) -> None:
    """Behind the question, or as the assistant's first words, which the template does not close."""
    more, target = (OPTIONS, 1) if kind == "multiple_choice" else ("", "'{{{{q}}}}'")
    written = PREFIXED.replace("{target}", str(target)).format(folder=tmp_path, type=kind, prefix=prefix, more=more)
    (tmp_path / "task.yaml").write_text(written)
    tokenizer = byte_tokenizer(tmp_path / "chatty", ["$A"], TURNS_OPEN)
    task = {"lm_eval": "task.yaml", "apply_chat_template": chat}
    found = plan(tmp_path, task, tokenizer, rows=[{"q": "What is 2+2?"}])
    expected = f"<user>What is 2+2?\n<assistant>{prefix}" if chat else f"What is 2+2? {prefix}"
    assert found.items[0].prompt == expected
    if kind == "multiple_choice":
        assert asked(found).continuations[0] == tokenizer.encode(" 3", add_special_tokens=False)


@pytest.mark.fault("T31", "an lm-eval task with acc_mutual_info, and with a metric over classes")
def test_options_are_asked_without_the_question_too(tmp_path: Path) -> None:
    """Mutual information needs each option behind nothing; a metric that is no mean over items is one of the whole."""
    written = PREFIXED.replace("{more}", MUTUAL).replace('gen_prefix: "{prefix}"\n', "")
    (tmp_path / "task.yaml").write_text(written.format(folder=tmp_path, type="multiple_choice", target=1))
    found = plan(tmp_path, {"lm_eval": "task.yaml"}, rows=[{"q": "What is 2+2?"}])
    with_question, without = found.requests[0]
    assert isinstance(with_question, ScoreRequest)
    assert isinstance(without, ScoreRequest)
    assert without.context == (ScriptedTokenizer.prefix_token,)
    assert with_question.continuations == without.continuations
    assert found.metrics == ("acc", "acc_mutual_info")
    assert found.whole == ("f1",)


SENTENCES = """
task: sentences
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{gold}}}}"
doc_to_choice: "{{{{sentences}}}}"
doc_to_target: "{{{{rest}}}}"
target_delimiter: ""
"""


@pytest.mark.fault("T8", "two prompts and one ending, where a token spans the join of one prompt only")
@pytest.mark.parametrize(("sentences", "apart"), [(["ax", "bx"], False), (["ax", "ab"], True)])
def test_an_ending_behind_several_prompts_is_the_same_for_each(
    tmp_path: Path, sentences: list[str], apart: bool
) -> None:
    """As Winogrande asks. The same text is scored behind each prompt: with the same end of it where both end alike, and
    apart from it where they do not."""
    vocabulary = {name: place for place, name in enumerate([*SPECIAL, *"abxyz", "xy"])}
    joined = saved(tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[("x", "y")])), tmp_path / "joined")
    (tmp_path / "task.yaml").write_text(SENTENCES.format(folder=tmp_path))
    rows = [{"gold": 0, "sentences": sentences, "rest": "yz"}]
    (requests,) = plan(tmp_path, {"lm_eval": "task.yaml"}, joined, rows=rows).requests
    asked_for = [(each.context, each.continuations) for each in requests if isinstance(each, ScoreRequest)]
    ids = {name: (vocabulary[name],) for name in vocabulary}
    if apart:
        behind = ((*ids["y"], *ids["z"]),)
        assert asked_for == [(ids["a"] + ids["x"], behind), (ids["a"] + ids["b"], behind)]
    else:
        behind = ((*ids["xy"], *ids["z"]),)
        assert asked_for == [(ids["a"], behind), (ids["b"], behind)]


@pytest.mark.fault("T17", "a task whose own code writes something new into its prompts every time")
def test_a_prompt_that_is_another_every_time_is_named(tmp_path: Path) -> None:
    """Made twice; what draws from the seeded generators is the same twice and is not blamed."""
    (tmp_path / "train.jsonl").write_text('{"q": "x"}\n')
    code = "import random, uuid\ndef new(doc): return str(uuid.uuid4())\ndef drawn(doc): return str(random.random())\n"
    (tmp_path / "prompts.py").write_text(code)
    told = []
    for name in ("new", "drawn"):
        task = FEW_SHOT.replace('"{{{{q}}}}"', f"!function prompts.{name}").replace("num_fewshot: 2", "")
        (tmp_path / "task.yaml").write_text(task.format(folder=tmp_path, split=""))
        found = plan(tmp_path, {"lm_eval": "task.yaml"}, rows=[{"q": "a"}], allow_task_code=True)
        told.append(any("makes another prompt every time" in note for note in found.notes))
    assert told == [True, False]
