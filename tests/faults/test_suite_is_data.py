"""Faults in what people hand in: a suite and what it names are data, whatever is written into them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.plan_suite import plan_suite
from harness.suite.load import load_suite, parse_suite

SUITE: dict[str, object] = {
    "suite": "data",
    "model": "none",
    "variants": {"full": {"engine": "scripted", "baseline": True}},
    "tasks": {"t": {"lm_eval": "task.yaml"}},
}
TASK = """task: theirs
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: ["yes", "no"]
doc_to_target: 0
"""
METRIC = "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
PAYLOAD = """import pathlib
pathlib.Path(__file__).with_name("ran").touch()
def f(*args, **more):
    return args[0]
"""


def write(folder: Path, task: str, **more: object) -> Path:
    (folder / "rows.jsonl").write_text('{"q": "one"}\n{"q": "two"}\n')
    (folder / "utils.py").write_text(PAYLOAD)
    (folder / "task.yaml").write_text(TASK.format(folder=folder) + task)
    (folder / "suite.yaml").write_text(json.dumps({**SUITE, **more}))
    return folder / "suite.yaml"


def check(suite: Path) -> None:
    plan_suite(load_suite(suite), ScriptedTokenizer(), context_length=None)


# -- Python in tasks


@pytest.mark.fault("S3", "a local lm-eval YAML whose function writes a file when it is imported", "refused, not run")
@pytest.mark.parametrize(
    ("task", "where"),
    [
        (METRIC + "process_docs: !function utils.f\n", "task.yaml:10: process_docs: runs Python (!function utils.f)"),
        (METRIC + "process_results: !function utils.f\n", "process_results"),
        ("metric_list: [{metric: !function utils.f, aggregation: mean}]\n", "metric_list[0].metric"),
        ("metric_list: [{metric: acc, aggregation: !function utils.f}]\n", "metric_list[0].aggregation"),
        (METRIC + "include: inner.yaml\n", "inner.yaml:1: doc_to_text"),
        (METRIC + "include: [middle.yaml]\n", "inner.yaml:1: doc_to_text"),
        (METRIC + "fewshot_config: {samples: !function utils.f}\n", "fewshot_config.samples"),
        (METRIC + "class: !function utils.f\n", "class"),
        (METRIC + "x: &a !function utils.f\ny: {<<: {z: *a}}\n", "x: runs Python"),
        (METRIC + "x: !!python/name:utils.f\n", "!!python/name:utils.f"),
        ("metric_list: [{metric: ./evil}]\n", "metric_list[0].metric: runs Python (./evil is no metric of lm-eval's"),
        ("metric_list: [{metric: acc, hf_evaluate: true}]\n", "metric_list[0].metric"),
        (METRIC + "group: all\ntask: [theirs]\n", "inner.yaml:1: doc_to_text"),
    ],
)
def test_python_of_a_task_does_not_run_unasked(tmp_path: Path, task: str, where: str) -> None:
    """Found by reading the YAML: the message names file, line and key, and nothing is imported."""
    (tmp_path / "inner.yaml").write_text("doc_to_text: !function utils.f\n")
    (tmp_path / "middle.yaml").write_text("include: inner.yaml\n")
    if "group" in task:
        task = task.replace("task: [", "task_list: [")
    suite = write(tmp_path, task)
    with pytest.raises(SuiteError, match=r"runs only with allow_task_code: true") as raised:
        check(suite)
    assert where in str(raised.value)
    assert not (tmp_path / "ran").exists()


def test_python_of_a_task_runs_with_the_suites_leave(tmp_path: Path) -> None:
    """`allow_task_code: true` is all it takes."""
    check(write(tmp_path, METRIC + "process_docs: !function utils.f\n", allow_task_code=True))
    assert (tmp_path / "ran").exists()


@pytest.mark.fault("S3b", "a harmless local YAML beside one with code", "nothing runs, nothing is refused")
def test_code_beside_a_harmless_task_does_not_matter(tmp_path: Path) -> None:
    """Only what the task itself and its includes bring along counts."""
    (tmp_path / "evil.yaml").write_text("task: evil\ndataset_path: json\nprocess_docs: !function utils.f\n")
    check(write(tmp_path, METRIC))
    assert not (tmp_path / "ran").exists()


# -- size and depth

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
SMALL = json.dumps(SUITE)


@pytest.mark.fault("S4", "a YAML bomb: nine levels of nine aliases", "refused at once by the nodes it stands for")
@pytest.mark.fault("S6", "a YAML text 3000 levels deep", "refused with the place")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "expands to more than 200,000 values"),
        ("x: " + "[" * 3000 + "]" * 3000, "more than 64 deep"),
        ("x: " + "{a: " * 3000 + "1" + "}" * 3000, "more than 64 deep"),
        ("".join(" " * depth + "a:\n" for depth in range(3000)), "more than 64 deep"),
        ("x: &x [*x]", "is inside the node that it names"),
        ("x: &x {y: {z: *x}}", "is inside the node that it names"),
        (
            "a: &a [[[[[[[[[[]]]]]]]]]]\n"
            + "".join(f"{n}: &{n} {'[' * 9}*{b}{']' * 9}\n" for b, n in zip("abcdefg", "bcdefgh", strict=True)),
            "more than 64 deep",
        ),
        ("- a\n- b\n", "expected a mapping with suite, model, variants, tasks, got a list"),
        ("suite: s\n---\nsuite: t\n", "2:1: not valid YAML: expected a single document, but found another"),
        ("suite: " + "9" * 5000, "not valid YAML: "),
        ("suite: 0x" + "f" * 50000, "suite: expected an integer of at most 64 bits, got one of 200,000"),
        ('suite: "a\\0b"', "suite: expected a string without U+0000"),
        ('model: "\\ud800"', "model: expected a string without U+D800"),
    ],
)
def test_a_suite_that_is_too_much_is_refused_at_once(tmp_path: Path, text: str, words: str) -> None:
    """In seconds, with the place and no recursion, as a suite and as a task's YAML."""
    began = time.monotonic()
    with pytest.raises(SuiteError) as raised:
        parse_suite(text, tmp_path / "suite.yaml")
    assert words in str(raised.value)
    if "deep" in words or "stands" in words:
        suite = write(tmp_path, METRIC)
        (tmp_path / "task.yaml").write_text(text)
        with pytest.raises(SuiteError, match=words):
            check(suite)
    assert time.monotonic() - began < 20


@pytest.mark.fault("kind: hostile suites", "a pipe, a folder or an endless device as suite or data", "refused at once")
@pytest.mark.parametrize(
    ("place", "words"), [("pipe", "a pipe"), ("folder", "a folder"), ("/dev/zero", "a device"), ("none", "no such")]
)
def test_what_is_no_file_is_not_read(tmp_path: Path, place: str, words: str) -> None:
    """Nobody waits for a pipe's writer, or reads a device to its end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SuiteError, match=words):
        load_suite(tmp_path / place)
    (tmp_path / "data.jsonl").symlink_to(tmp_path / place)
    task = {"choice": {"data": "data.jsonl", "prompt": "{{q}}", "choices": ["a", "b"], "answer": "{{a}}"}}
    (tmp_path / "suite.yaml").write_text(json.dumps({**SUITE, "tasks": {"t": task}}))
    with pytest.raises(SuiteError, match=words):
        check(tmp_path / "suite.yaml")


@pytest.mark.fault("kind: hostile suites", "random texts, and random changes of a sound suite")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_text_is_a_suite_or_an_error_with_words(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever stands in the file, loading it gives a suite or a `SuiteError` that can be printed."""
    pieces = st.sampled_from(
        ["&a ", "*a", "<<: ", "[", "]", "{", "}", "? ", "- ", "!!python/name:os ", "\n", "\t", '"\\0"', "|", ">", "%",
         "!x ", "0x", "1e9", ".nan", "~", "2026-02-30", "'", "\x85", "\ufeff", "---", "...", "#"]
    )  # fmt: skip
    raw = data.draw(
        st.one_of(
            st.binary(max_size=200),
            st.lists(st.one_of(pieces, st.text(max_size=4)), max_size=30).map(lambda each: "".join(each).encode()),
        )
    )
    sound = SMALL.encode()
    place = data.draw(st.integers(0, len(sound)))
    end = data.draw(st.integers(place, min(len(sound), place + 20)))
    content = raw if data.draw(st.booleans()) else sound[:place] + raw + sound[end:]
    (tmp_path / "suite.yaml").write_bytes(content)
    try:
        load_suite(tmp_path / "suite.yaml")
    except SuiteError as error:
        words = str(error)
    else:
        words = "a suite"
    assert words.strip()


@pytest.mark.fault(
    "kind: hostile suites", "a mistake in a mapping that came by an alias or a merge", "its line is named"
)
@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("max_drop: 5", "s.yaml:8:31: gates[0].max_drop: expected a fraction from 0 to 1, or noise, got 5"),
        ("max_drop: .nan", "s.yaml:8:31: gates[0].max_drop: "),
        ("max_dorp: 0.05", "gates[1].max_dorp: unknown key, did you mean max_drop?"),
        ("max_drop: 0.05", ""),
    ],
)
def test_mistakes_behind_merges_have_a_place(tmp_path: Path, gate: str, words: str) -> None:
    """A merge of one mapping or of a list of them is written out, and what is wrong in it told where it stands."""
    text = f"""suite: s
model: none
variants:
  full: &full {{engine: scripted, baseline: true}}
  small: {{<<: *full, baseline: false}}
tasks: {{t: {{choice: {{data: d.jsonl, prompt: "{{{{q}}}}", choices: [a, b], answer: a}}}}}}
gates:
  - &g {{task: t, metric: acc, {gate}}}
  - {{<<: *g, metric: acc_norm}}
  - {{<<: [*g], severity: warn}}
"""
    if not words:
        assert [each.metric for each in parse_suite(text, tmp_path / "s.yaml").suite.gates] == [
            "acc",
            "acc_norm",
            "acc",
        ]
        return
    with pytest.raises(SuiteError) as raised:
        parse_suite(text, tmp_path / "s.yaml")
    assert words in str(raised.value)


def test_a_link_without_an_ending_behind_it_is_read_by_its_own_name(tmp_path: Path) -> None:
    """As in a hub's cache, where `data.jsonl` is a link to a blob."""
    (tmp_path / "blob").write_text('{"q": "one", "a": "yes"}\n{"q": "two", "a": "no"}\n')
    (tmp_path / "data.jsonl").symlink_to("blob")
    task = {"choice": {"data": "data.jsonl", "prompt": "{{q}}", "choices": ["yes", "no"], "answer": "{{a}}"}}
    (tmp_path / "suite.yaml").write_text(json.dumps({**SUITE, "tasks": {"t": task}}))
    plan = plan_suite(load_suite(tmp_path / "suite.yaml"), ScriptedTokenizer(), context_length=None)
    assert [len(each.items) for each in plan] == [2]
