"""A team's own JSONL: columns into items, and a message by file and line for what does not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.imports.jsonl_files import read
from harness.imports.shape import ImportedItem, NoValue, Selection, UnreadableError
from harness.records.items import Failed, Scored
from harness.records.store import Store
from harness.suite.load import parse_suite

Row = dict[str, Any]


def written(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def items(path: Path, selection: Selection | None = None) -> list[ImportedItem]:
    [task] = read(path).tasks.values()
    return list(task.items(selection or Selection()))


def test_every_column_has_its_place(tmp_path: Path) -> None:
    """Numbers and booleans are metrics, texts can be sliced by, the rest is what its name says."""
    row = {
        "item": "q1", "acc": True, "ter": 0.25, "prompt": "2 + 2 =", "target": "4", "answer": "4", "tokens": 1,
        "finish": "stop", "cluster": "sums", "slices": {"language": "en"}, "topic": "sums", "lower_is_better": ["ter"],
    }  # fmt: skip
    side = read(written(tmp_path / "sums.jsonl", [row]))
    task = side.tasks["sums"]
    [item] = task.items(Selection(slice_by=("topic",)))
    assert {metric.name: metric.higher_is_better for metric in task.metrics} == {"acc": True, "ter": False}
    assert (item.id, item.values, item.target, item.cluster) == ("q1", {"acc": 1.0, "ter": 0.25}, "4", "sums")
    assert item.answer is not None
    assert (item.answer.text, item.answer.tokens, item.answer.finish) == ("4", 1, "stop")
    assert item.slices == {"language": "en", "topic": "sums"}


def test_repeats_may_stand_anywhere(tmp_path: Path) -> None:
    """A script that asks everything once and then again is read as repeats of its items."""
    rows = [{"item": name, "repeat": repeat, "acc": 1} for repeat in range(3) for name in ("a", "b")]
    found = items(written(tmp_path / "t.jsonl", rows))
    assert [(item.id, item.repeat) for item in found] == [(name, n) for name in ("a", "b") for n in range(3)]


def test_null_and_nan_are_no_values(tmp_path: Path) -> None:
    """With the reason that the file gives."""
    rows: list[Row] = [
        {"item": 1, "acc": 1},
        {"item": 2, "acc": None, "error": "timed out"},
        {"item": 3, "acc": float("nan")},
        {"item": 4},
    ]
    values = [item.values["acc"] for item in items(written(tmp_path / "t.jsonl", rows))]
    reasons = ["timed out", "the file has nan for acc", "the file has no acc for it"]
    assert values == [1.0, *(NoValue(reason=reason) for reason in reasons)]


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"acc": 1}, ":2: item: expected the item's id, a string or an integer, got None"),
        ({"item": 2, "acc": "yes"}, ":2: acc: expected a number, true, false or null, got 'yes'"),
        ({"item": 2, "acc": 1, "tokens": -1}, ":2: tokens: expected an integer of at least 0, got -1"),
        ({"item": 2, "acc": 1, "answer": "x", "finish": "eos"}, ":2: finish: expected stop or length, got 'eos'"),
        ({"item": 2, "acc": 1, "answer": 5}, ":2: answer: expected a string"),
        ({"item": 2, "acc": 1, "tokens": 7}, ":2: answer: expected a string, beside tokens and finish too, got None"),
        ({"item": 2, "acc": 1, "options": ["a"]}, ":2: expected options and log_likelihoods, two lists of the same"),
        ({"item": 2, "acc": 1, "slices": "de"}, ":2: slices: expected an object such as"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, second: Row, says: str) -> None:
    """File, line, column, what was expected and what came."""
    path = written(tmp_path / "t.jsonl", [{"item": 1, "acc": 1}, second])
    with pytest.raises(UnreadableError) as error:
        items(path)
    assert f"{path}{says}" in str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ('{"item": 1, "answer": "x"}\n', "expected a column of numbers beside item"),
        ('{"item": 1, "acc": 1, "lower_is_better": ["ter"]}\n', "lower_is_better: expected a list of acc"),
        ("[1]\n", ":1: expected a JSON object, got list"),
        ('{"item": 1, "acc": 1', ":1: expected a JSON object, got broken JSON"),
        ("\xff\n", ":1: expected a JSON object, got broken JSON"),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, content: str, says: str) -> None:
    """Nothing is guessed from it."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UnreadableError, match=says):
        items(path)


def both_sides(folder: Path, candidate: list[Row]) -> harness.Run:
    baseline = [{"item": n, "acc": 1, "answer": f"a{n}", "prompt": f"p{n}"} for n in range(40)]
    written(folder / "full.jsonl", baseline)
    written(folder / "small" / "full.jsonl", candidate)
    text = (
        "suite: s\nvariants: {full: {import: full.jsonl, baseline: true}, small: {import: small}}\n"
        "gates: [{task: full, metric: acc, max_drop: 0.3}]\n"
    )
    return harness.run(parse_suite(text, folder / "suite.yaml"), results=folder / "results")


def test_a_run_of_two_files(tmp_path: Path) -> None:
    """Pairs by item in any order, flips with both answers."""
    rows = [{"item": n, "acc": n != 3, "answer": f"b{n}", "prompt": f"p{n}"} for n in reversed(range(40))]
    run = both_sides(tmp_path, rows)
    [candidate] = run.verdict.candidates
    assert candidate.decision == "PASS"
    [flip] = candidate.flips
    assert (flip.item, flip.baseline_answer, flip.candidate_answer) == ("3", "a3", "b3")


def test_repeats_are_averaged(tmp_path: Path) -> None:
    """An item's value is the mean over its repeats, and each answer keeps its own; one that failed fails the item."""
    for side in ("full", "small"):
        rows: list[Row] = [
            {"item": item, "repeat": repeat, "acc": repeat == item, "answer": f"a{repeat}"}
            for repeat in range(2) for item in range(3)
        ]  # fmt: skip
        if side == "small":
            rows[1] |= {"acc": None, "error": "timed out"}
        written(tmp_path / side / "t.jsonl", rows)
    text = "suite: s\nvariants: {full: {import: full, baseline: true}, small: {import: small}}\n"
    run = harness.run(parse_suite(text, tmp_path / "suite.yaml"), results=tmp_path / "results")
    store = Store(tmp_path / "results")
    before, after = (store.items(run.manifest.variants[name].evaluations["t"]) for name in ("full", "small"))
    assert [record.metrics["acc"] for record in before] == [Scored(value=each) for each in (0.5, 0.5, 0.0)]
    assert [answer.score for answer in before[0].answers] == [1.0, 0.0]
    assert after[1].metrics["acc"] == Failed(stage="score", error="repeat 0: timed out")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"item": 0, "acc": 1, "answer": "a0", "prompt": "other"}, "in its prompt: expected 'p0', got 'other'"),
        ({"item": 99, "acc": 1, "prompt": "p0"}, "item '99' of full is not in full.jsonl"),
    ],
)
def test_another_question_is_invalid(tmp_path: Path, row: Row, says: str) -> None:
    """By file and line."""
    rows = [row, *({"item": n, "acc": 1, "answer": "", "prompt": f"p{n}"} for n in range(1, 40))]
    [candidate] = both_sides(tmp_path, rows).verdict.candidates
    assert candidate.decision == "INVALID"
    assert f"small/full.jsonl:1: {'' if '99' in says else 'item'}" in candidate.sentence
    assert says in candidate.sentence


def test_scores_alone_are_compared(tmp_path: Path) -> None:
    """Without answers nothing is said of answers, and nothing counts as failed."""
    for side in ("full", "small"):
        written(tmp_path / side / "t.jsonl", [{"item": n, "acc": n % 2} for n in range(40)])
    (tmp_path / "small" / "t.jsonl").write_text((tmp_path / "small" / "t.jsonl").read_text() + "\n")
    text = (
        "suite: s\nvariants: {full: {import: full, baseline: true}, small: {import: small}}\n"
        "gates: [{task: t, metric: acc, max_drop: 0.3}, {task: t, metric: truncated_rate, max_drop: 0.1}]\n"
    )
    run = harness.run(parse_suite(text, tmp_path / "suite.yaml"), results=tmp_path / "results")
    [candidate] = run.verdict.candidates
    assert [measure.metric for measure in candidate.measures] == ["acc"]
    assert [finding.decision for finding in candidate.findings] == ["PASS", "INVALID"]


def test_hostile_text_is_shown_and_not_followed(tmp_path: Path) -> None:
    """Control characters and markup in ids, prompts and answers reach no terminal and no page as they are."""
    evil = "\x1b[31m<script>alert(1)</script>\u202e"
    for side in ("full", "small"):
        rows = [{"item": f"{evil}{n}", "acc": side == "full", "answer": evil, "prompt": evil} for n in range(5)]
        written(tmp_path / side / "t.jsonl", rows)
    text = "suite: s\nvariants: {full: {import: full, baseline: true}, small: {import: small}}\n"
    run = harness.run(parse_suite(text, tmp_path / "suite.yaml"), results=tmp_path / "results")
    page = harness.report(run, results=tmp_path / "results", reports=tmp_path / "reports").read_text()
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
