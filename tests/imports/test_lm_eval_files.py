"""lm-eval's own files, read: what is in them, and what is refused by file and line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.imports.items import groups
from harness.imports.open_side import open_side
from harness.imports.shape import ImportedItem, NoValue, Selection, UnreadableError
from tests.imports.conftest import edit_lines, edit_results, file_of


def items(folder: Path, task: str, **selection: Any) -> list[ImportedItem]:
    return list(open_side(folder).tasks[task].items(Selection(**selection)))


def test_the_folder_says_what_was_run(written: Path) -> None:
    """Model, version, tasks, filters and directions are those of the results file."""
    side = open_side(written / "fp32")
    assert (side.model, side.library, side.version) == ("SmolLM2-135M-Instruct", "lm-eval", "0.4.13")
    assert {name: [metric.name for metric in task.metrics] for name, task in side.tasks.items()} == {
        "cloze": ["acc"],
        "facts": ["acc", "acc_norm"],
        "sampled": ["exact_match,first", "exact_match,maj"],
        "short": ["exact_match,strict", "exact_match,word"],
    }
    assert side.noted["dtype"] == "float32"
    assert side.tasks["short"].must_agree["task version"] == "2.0"
    assert any("perplexity,none is no mean over items" in note for note in side.notes)


def test_a_choice_has_options_with_likelihoods(written: Path) -> None:
    """Options without the delimiter, log-likelihoods as numbers, the target as the option's text."""
    found = items(written / "fp32", "facts", slice_by=("topic",))
    assert len(found) == 12
    first = found[0]
    assert (first.id, first.prompt) == ("0", "Question: Which animal barks?\nAnswer:")
    assert [option.text for option in first.options] == ["a duck", "a dog", "a cow", "a horse"]
    assert [option.log_likelihood for option in first.options] == pytest.approx(
        [-13.97, -9.55, -10.49, -13.28], abs=0.01
    )
    assert (first.target, first.values, first.slices) == ("a dog", {"acc": 1.0, "acc_norm": 0.0}, {"topic": "animals"})


def test_filters_of_one_document_are_one_item(written: Path) -> None:
    """lm-eval writes all documents of one filter, then all of the next."""
    found = items(written / "fp32", "short")
    assert [item.id for item in found] == [str(number) for number in range(12)]
    assert found[0].values == {"exact_match,strict": 1.0, "exact_match,word": 1.0}
    assert found[0].answer is not None
    assert (found[0].answer.text, found[0].answer.tokens, found[0].target) == (" Vienna", None, "Vienna")


def test_repeats_are_answers_of_one_item(written: Path) -> None:
    """`repeats: 3` in the task gives three answers an item."""
    found = items(written / "fp32", "sampled")
    assert [(item.id, item.repeat) for item in found[:4]] == [("0", 0), ("0", 1), ("0", 2), ("1", 0)]


def test_the_newest_date_of_each_task_counts(written: Path) -> None:
    """A second run of one task into the same folder is taken for that task, and it is said."""
    file = file_of(written / "fp32", "facts")
    later = file.parent / "samples_facts_2027-01-01T00-00-00.000000.jsonl"
    shutil.copy(file, later)
    results = next(file.parent.glob("results_*.json"))
    shutil.copy(results, file.parent / "results_2027-01-01T00-00-00.000000.json")
    side = open_side(written / "fp32")
    assert side.tasks["facts"].source.endswith(later.name)
    assert "facts of 2027-01-01T00-00-00.000000" in side.notes[0]
    assert open_side(results).tasks["facts"].source.endswith(file.name)


def read_all(folder: Path) -> None:
    for task in open_side(folder).tasks.values():
        for _ in groups(task, Selection()):
            pass


def later_in_another_way(folder: Path) -> None:
    """The same model name, loaded otherwise: another model in the same folder."""
    file = file_of(folder, "facts")
    shutil.copy(file, file.parent / "samples_facts_2027-01-01T00-00-00.000000.jsonl")
    content = json.loads(next(file.parent.glob("results_*.json")).read_text())
    content["config"]["model_args"] = {"pretrained": "SmolLM2-135M-Instruct", "load_in_4bit": True}
    (file.parent / "results_2027-01-01T00-00-00.000000.json").write_text(json.dumps(content))


def two_models(folder: Path) -> None:
    inner = next(folder.iterdir())
    shutil.copytree(inner, folder / "Other-Model")


def without_samples(folder: Path) -> None:
    for file in folder.rglob("samples_*"):
        file.unlink()


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def truncated(folder: Path) -> None:
    file = file_of(folder, "facts")
    file.write_bytes(file.read_bytes()[:-40])


def no_json(folder: Path) -> None:
    next(folder.rglob("results_*.json")).write_text("{")


def older_than_0_4(folder: Path) -> None:
    next(folder.rglob("results_*.json")).write_text('{"results": {}, "config": {}}')


def short_of_a_line(folder: Path) -> None:
    file = file_of(folder, "facts")
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:-1]))


def twice(folder: Path) -> None:
    file = file_of(folder, "facts")
    lines = file.read_text().splitlines()
    file.write_text("".join(line + "\n" for line in [*lines[:-1], lines[3]]))


def without_a_filter(folder: Path) -> None:
    file = file_of(folder, "short")
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:-1]))


def of_another_run(folder: Path) -> None:
    edit_results(folder, lambda content: content["results"]["facts"].update({"acc,none": 0.25}))


def not_likelihoods(folder: Path) -> None:
    edit_lines(file_of(folder, "facts"), lambda row: row.update(resps=[[["high", "False"]]] * 4), only=2)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (gone, "no such file or folder"),
        (empty, "the folder is empty"),
        (two_models, "holds the results of 2 models; name one of"),
        (later_in_another_way, "were run with other model arguments"),
        (without_samples, "run lm-eval again with --log_samples"),
        (truncated, "facts_2026-12-01T04-25-09.686856.jsonl:12: expected a JSON object, got broken JSON"),
        (no_json, "686856.json: expected a JSON object"),
        (older_than_0_4, "expected `results` and `configs`"),
        (short_of_a_line, "holds 11 items of facts, and its results say 12"),
        (without_a_filter, "document 11 has a line for strict; expected one for each of strict, word"),
        (of_another_run, "its results file says 0.25: the two were not written by one run"),
        (not_likelihoods, "jsonl:2: expected a log-likelihood, got 'high'"),
    ],
)
def test_what_cannot_be_read_is_refused(written: Path, damage: Any, says: str) -> None:
    """By file, and by line where there is one, with what to do."""
    damage(written / "fp32")
    with pytest.raises(UnreadableError) as error:
        read_all(written / "fp32")
    assert says in str(error.value)
    assert "fp32" in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "1.0"])
def test_a_value_that_is_no_number_is_none(written: Path, value: object) -> None:
    """Bare NaN is what lm-eval writes; none of these is a score."""
    edit_lines(file_of(written / "fp32", "short"), lambda row: row.update(exact_match=value), only=3)
    found = items(written / "fp32", "short")[2].values["exact_match,strict"]
    assert isinstance(found, NoValue)
    assert "for exact_match" in found.reason


def test_a_likelihood_that_is_not_finite_fails_the_item(written: Path) -> None:
    """lm-eval's own accuracy would compare NaN with the other options."""
    edit_lines(file_of(written / "fp32", "facts"), lambda row: row["resps"][1][0].__setitem__(0, "nan"), only=1)
    first = items(written / "fp32", "facts")[0]
    assert first.options[1].log_likelihood is None
    assert first.values["acc"] == NoValue(reason="the log-likelihood of option 2 is not finite")


def test_a_field_to_slice_by_has_to_be_there(written: Path) -> None:
    """The message names the fields that documents have."""
    with pytest.raises(UnreadableError, match=r"jsonl:1: expected the document's field 'language' .* it has id, topic"):
        items(written / "fp32", "facts", slice_by=("language",))
