"""Imported results judged: a run like any other, strict about what both sides were asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import SuiteError
from harness.records.items import Failed
from harness.records.store import Store
from tests.imports.conftest import edit_lines, edit_results, file_of, imported

GATES = "[{task: facts, metric: acc, max_drop: 0.02}, {task: short, metric: 'exact_match,strict', max_drop: 0.5}]"


def test_a_run_like_any_other(written: Path) -> None:
    """Pairs, flips with both answers, findings, a trust note, and no claim about weights."""
    run = imported(written, gates=GATES)
    [candidate] = run.verdict.candidates
    measures = {(each.task, each.metric): each for each in candidate.measures}
    assert measures["short", "exact_match,strict"].baseline == pytest.approx(10 / 12)
    assert measures["short", "exact_match,strict"].n == 12
    flip = next(each for each in candidate.flips if each.task == "short")
    assert (flip.baseline_answer, flip.candidate_answer) == (" Vienna", " Austria")
    assert next(each for each in candidate.flips if each.task == "facts").candidate_margin is not None
    assert candidate.decision == "INCONCLUSIVE"
    names = {check.name for check in candidate.checks}
    assert "taken on trust" in names
    claims = {"quantized", "another model", "same tokens", "finite weights", "full precision", "answers end"}
    assert not names & claims
    assert run.verdict.method[0].startswith("The results were computed elsewhere and imported.")
    assert not any(word in says for says in run.verdict.method for word in ("ABBA", "token ids", "Noise floor"))
    assert candidate.facts is not None
    assert candidate.facts.imported is not None
    assert candidate.facts.imported.version == "0.4.13"


def test_the_same_files_are_already_there(written: Path) -> None:
    """Evaluations are stored under their content; another candidate reuses the baseline."""
    first, second = imported(written), imported(written)
    assert first.manifest.variants == second.manifest.variants
    shutil.copytree(written / "nf4", written / "other")
    edit_lines(file_of(written / "other", "facts"), lambda row: row["doc"].update(seen=True))
    shutil.rmtree(written / "nf4")
    (written / "other").rename(written / "nf4")
    third = imported(written)
    assert third.manifest.variants["fp32"].evaluations == first.manifest.variants["fp32"].evaluations
    assert third.manifest.variants["nf4"].evaluations != first.manifest.variants["nf4"].evaluations
    assert imported(written, fresh=True).verdict.decision == first.verdict.decision


def test_repeats_are_answers_of_one_item(written: Path) -> None:
    """Three answers of lm-eval's `repeats: 3` are stored; its value is of all, so none has a score of its own."""
    run = imported(written)
    first = Store(written / "results").items(run.manifest.variants["fp32"].evaluations["sampled"])[0]
    assert [answer.text for answer in first.answers] == ["", " To create a world with no", ""]
    assert [(answer.tokens, answer.finish, answer.score) for answer in first.answers] == [(None, None, None)] * 3


def other_prompt(folder: Path) -> None:
    edit_lines(file_of(folder, "facts"), lambda row: row["arguments"]["gen_args_0"].update(arg_0="Q: what?"), only=5)


def other_option(folder: Path) -> None:
    edit_lines(file_of(folder, "facts"), lambda row: row["arguments"]["gen_args_1"].update(arg_1=" a cat"), only=5)


def other_target(folder: Path) -> None:
    edit_lines(file_of(folder, "facts"), lambda row: row.update(target="0"), only=5)


def other_stop(folder: Path) -> None:
    edit_lines(file_of(folder, "short"), lambda row: row["arguments"]["gen_args_0"]["arg_1"].update(until=["."]))


def other_version(folder: Path) -> None:
    edit_results(folder, lambda content: content["versions"].update(facts=2))


def more_examples(folder: Path) -> None:
    edit_results(folder, lambda content: content["n-shot"].update(facts=5))


def other_template(folder: Path) -> None:
    edit_results(folder, lambda content: content.update(chat_template_sha="ab12"))


def other_instruction(folder: Path) -> None:
    edit_results(folder, lambda content: content.update(system_instruction_sha="ab12"))


def other_filter(folder: Path) -> None:
    edit_lines(
        file_of(folder, "short"), lambda row: row.update(filter={"word": "first"}.get(row["filter"], row["filter"]))
    )
    edit_results(folder, lambda content: content["results"]["short"].update({"exact_match,first": 0.0}))
    edit_results(folder, lambda content: content["results"]["short"].pop("exact_match,word"))


def fewer_items(folder: Path) -> None:
    file = file_of(folder, "cloze")
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:-1]))
    edit_results(folder, lambda content: content["n-samples"]["cloze"].update(effective=11))


def other_item(folder: Path) -> None:
    edit_lines(file_of(folder, "cloze"), lambda row: row.update(doc_id=99), only=4)


def without_a_task(folder: Path) -> None:
    file_of(folder, "cloze").unlink()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_prompt, ":5: item '4' of facts differs from"),
        (other_option, "in its requests or their settings and its options: expected "),
        (other_target, "in its target: expected "),
        (other_stop, "item '0' of short differs from"),
        (other_version, "facts: its task version is 2 in"),
        (more_examples, "facts: its number of examples (n-shot) is 5 in"),
        (other_template, "its chat template (SHA-256) is ab12 in"),
        (other_instruction, "its system instruction (SHA-256) is ab12 in"),
        (other_filter, "short: was measured by exact_match,strict, exact_match,first"),
        (fewer_items, "lacks 1 of the 12 items of cloze in"),
        (other_item, ":4: item '99' of cloze is not in"),
        (without_a_task, "cloze is not in its files"),
    ],
)
def test_what_was_asked_otherwise_is_invalid(written: Path, change: Callable[[Path], None], says: str) -> None:
    """The candidate is INVALID with file, line and what differs; nothing of it is judged, nothing half stored."""
    change(written / "nf4")
    run = imported(written)
    [candidate] = run.verdict.candidates
    assert (candidate.decision, run.exit_code) == ("INVALID", 12)
    assert says in candidate.sentence
    folders = list((written / "results" / "evaluations").iterdir())
    assert all((folder / "manifest.json").is_file() for folder in folders)


def test_what_may_differ_is_noted(written: Path) -> None:
    """Another library version and batch size are no reason to refuse."""
    edit_results(written / "nf4", lambda content: content.update(lm_eval_version="0.4.9"))
    edit_results(written / "nf4", lambda content: content["config"].update(batch_size="16"))
    [candidate] = imported(written).verdict.candidates
    [check] = [each for each in candidate.checks if each.name == "same set-up"]
    assert candidate.decision != "INVALID"
    assert "lm-eval 0.4.9 against lm-eval 0.4.13" in check.says
    assert "batch size 16 against 4" in check.says


def broken_value(row: dict[str, Any]) -> None:
    row["exact_match"] = float("nan")


def test_a_candidates_broken_value_counts_against_it(written: Path) -> None:
    """NaN is a failure with its reason, and the worst value in the bound."""
    edit_lines(file_of(written / "nf4", "short"), broken_value, only=7)
    run = imported(written)
    [candidate] = run.verdict.candidates
    measure = next(each for each in candidate.measures if each.metric == "exact_match,strict")
    assert (measure.failed, measure.candidate, measure.n) == (1, 0.0, 12)
    records = Store(written / "results").items(run.manifest.variants["nf4"].evaluations["short"])
    assert records[6].metrics["exact_match,strict"] == Failed(stage="score", error="lm-eval stored nan for exact_match")


def test_the_baselines_broken_value_is_invalid(written: Path) -> None:
    """A comparison with what is not known means nothing."""
    edit_lines(file_of(written / "fp32", "short"), broken_value, only=7)
    run = imported(written)
    assert run.verdict.decision == "INVALID"
    assert "the baseline failed on 1 of 12 items" in run.verdict.candidates[0].sentence


def test_one_model_on_both_sides_is_refused(written: Path) -> None:
    """A copy under another name is the same: nothing would be compared."""
    shutil.rmtree(written / "nf4")
    shutil.copytree(written / "fp32", written / "nf4")
    with pytest.raises(SuiteError, match=r"variants\.nf4\.import: is the same files as fp32"):
        imported(written)


@pytest.mark.parametrize(
    ("gates", "more", "says"),
    [
        (
            "[{task: fact, metric: acc, max_drop: 0.1}]",
            "",
            r"gates\[0\]\.task: unknown task 'fact', did you mean facts\?",
        ),
        ("[{task: facts, metric: f1, max_drop: 0.1}]", "", r"gates\[0\]\.metric: facts has no metric 'f1'"),
        ("[{task: facts, metric: acc, max_drop: 0.1, slice: each}]", "", r"gates\[0\]\.slice: facts has no slices"),
        ("[]", "tasks: {t: {imported: factz}}", r"tasks\.t\.imported: the files of fp32 have no task 'factz'; did you"),
        ("[{metric: weight_bytes, max_ratio: 0.5}]", "", "is measured where a model runs"),
        ("[]", "speed: {workloads: [{}]}", "speed: says how models are run"),
        ("[]", "tasks: {t: {lm_eval: hellaswag}}", "write imported: NAME"),
        ("[]", "tasks: {t: {imported: facts, limit: 3}}", r"tasks\.t\.limit: the results are imported"),
    ],
)
def test_a_suite_that_does_not_fit_the_files(written: Path, gates: str, more: str, says: str) -> None:
    """By key, with what the files have; no run is stored."""
    with pytest.raises(SuiteError, match=says):
        imported(written, gates=gates, more=more)
    assert not list((written / "results").glob("s/runs/*"))


def test_tasks_by_another_name_with_slices(written: Path) -> None:
    """A suite may rename a task, slice it by a field of its documents, and leave others out."""
    more = "tasks: {short: {imported: short, slice_by: [topic], cluster_by: answer}}"
    run = imported(written, gates="[{task: short, metric: 'exact_match,word', max_drop: 0.5, slice: each}]", more=more)
    assert list(run.manifest.tasks) == ["short"]
    assert [finding.slice for finding in run.verdict.candidates[0].findings] == ["topic=capitals"]


def test_a_saved_import_needs_its_files_no_more(written: Path) -> None:
    """What was imported is stored: judging again, explaining and comparing read nothing else."""
    run = imported(written, gates=GATES)
    shutil.rmtree(written / "fp32")
    shutil.rmtree(written / "nf4")
    again = harness.gate(run.manifest, results=written / "results")
    assert again.decision == run.verdict.decision
    assert harness.explain(run.manifest, "gates[1]", results=written / "results")
