"""`show --format nel`: the layout and fields that NeMo Evaluator 0.4.0 documents (docs/result-format.mdx)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.commands.show import export
from harness.errors import UsageError
from tests.exports.handmade import AWKWARD, saved_run
from tests.gates.handmade import Bench


def exported(root: Path, task: str | None = None) -> Path:
    bench, _ = saved_run(root / "results")
    export("r1", bench.store.root, task=task, form="nel", out=root / "out")
    return root / "out"


def bundle(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The bundle and its lines, found and read as `nel compare` does."""
    (found,) = folder.glob("eval-*.json")
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(found.read_text(encoding="utf-8")), [json.loads(line) for line in lines]


def test_a_benchmark_for_every_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One folder a variant and one in it a benchmark; documents and what is better when less are named, not written."""
    out = exported(tmp_path)
    names = ["pick.acc", "pick.acc_norm", "write.exact_match", "write.exact_match_strict"]
    assert sorted(path.name for path in out.iterdir()) == ["fp32", "q4"]
    for variant in ("fp32", "q4"):
        assert sorted(path.name for path in (out / variant).iterdir()) == names
    said = capsys.readouterr().out
    assert "docs: left out; documents have no reward" in said
    assert "write, edits: left out; less of it is better" in said
    assert f"q4: {out / 'q4'}, 4 benchmarks" in said
    facts, lines = bundle(out / "q4" / "pick.acc")
    assert facts["benchmark"]["name"] == "pick.acc"
    assert facts["benchmark"]["scores"] == {"pass@1": {"value": 2 / 6}}
    assert facts["benchmark"]["categories"] == {
        "a": {"mean_reward": 1 / 3, "n": 3},
        "b": {"mean_reward": 1 / 3, "n": 3},
    }
    assert [(line["problem_idx"], line["repeat"], line["reward"]) for line in lines] == [
        (n, 0, float(n < 2)) for n in range(6)
    ]
    assert lines[0]["metadata"] == {"topic": "a", "category": "a"}
    assert (lines[0]["model_response"], lines[0]["expected_answer"]) == ("yes", "yes")
    assert (lines[2]["model_response"], lines[2]["expected_answer"]) == ("yes", "maybe")


def test_repeats_and_failures(tmp_path: Path) -> None:
    """Each answer is a line where its own score is stored; otherwise their mean is, as `nel compare` makes of several.
    An item without a score is NaN with its error."""
    out = exported(tmp_path) / "fp32"
    facts, lines = bundle(out / "write.exact_match")
    assert [(line["problem_idx"], line["repeat"]) for line in lines] == [
        (0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0),
    ]  # fmt: skip
    assert [line["tokens"] for line in lines[:-1]] == [2, 3] * 3
    assert (facts["benchmark"]["samples"], facts["benchmark"]["repeats"], facts["n_results"]) == (4, 2, 7)
    facts, lines = bundle(out / "write.exact_match_strict")
    assert facts["benchmark"]["name"] == "write.exact_match,strict"
    assert lines[0]["_aggregated_from_repeats"] == 2
    assert lines[0]["model_response"] == f" 1{AWKWARD}"
    assert math.isnan(lines[3]["reward"])
    assert lines[3]["scoring_details"]["error"] == "out of memory"
    assert math.isnan(facts["benchmark"]["scores"]["mean_reward"]["value"])


def test_nothing_that_fits(tmp_path: Path) -> None:
    """A run of documents alone is refused, with the reason, and no folder is made."""
    with pytest.raises(UsageError, match="nothing in run r1 has a reward per item: docs: left out"):
        exported(tmp_path, task="docs")
    assert not (tmp_path / "out").exists()


def test_names_that_would_meet_in_one_folder(tmp_path: Path) -> None:
    """The metric `acc` of task `pick` and a task `pick.acc`: refused, both named."""
    bench, _ = saved_run(tmp_path / "results")
    again(bench, "pick", "pick.acc")
    with pytest.raises(UsageError, match=r"pick \(acc\) and pick\.acc \(acc\) would both be pick\.acc"):
        export("r1", bench.store.root, task=None, form="nel", out=tmp_path / "out")


def again(bench: Bench, task: str, name: str) -> None:
    """The same answers under another task's name, with one metric."""
    run = bench.store.find_run("r1")
    facts = run.tasks[task].model_copy(update={"task": name, "metrics": ("acc",)})
    variants = {
        each: found.model_copy(update={"evaluations": {**found.evaluations, name: found.evaluations[task]}})
        for each, found in run.variants.items()
    }
    bench.store.save_run(run.model_copy(update={"tasks": {**run.tasks, name: facts}, "variants": variants}))
