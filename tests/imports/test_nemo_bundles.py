"""Bundles that NeMo Evaluator 0.4.0's own writer made (`nemo_0_4_0/make_bundles.py`), read, compared and judged."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.commands.show import export
from harness.errors import QuantgateError
from harness.imports.nemo_bundles import read
from harness.imports.shape import NoValue, Selection, UnreadableError
from harness.records.store import Store
from harness.suite.load import parse_suite
from tests.exports.handmade import saved_run

WRITTEN = Path(__file__).parent / "nemo_0_4_0"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    shutil.copytree(WRITTEN, tmp_path / "written")
    return tmp_path / "written"


def run(folder: Path, *, gates: str = "[]") -> harness.Run:
    text = (
        "suite: s\nvariants:\n  base: {import: base, baseline: true}\n  quantized: {import: quantized}\n"
        f"gates: {gates}\n"
    )
    return harness.run(parse_suite(text, folder / "suite.yaml"), results=folder / "results")


def edit_bundle(folder: Path, edit: Callable[[Any], object]) -> None:
    (path,) = folder.glob("eval-*.json")
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def edit_lines(folder: Path, edit: Callable[[list[Any]], object]) -> None:
    path = folder / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    edit(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_what_is_read() -> None:
    """Problems with their repeats together, in whatever order they ended; rewards of all scorers; a reward of 0 that
    stands for a failed request has no value; categories are slices; what the bundle does not say is noted."""
    side = read(WRITTEN / "base")
    assert (side.model, side.library, side.version) == ("org/base", "NeMo Evaluator", "0.4.0")
    assert "do not say how answers were generated" in side.notes[0]
    task = side.tasks["letters"]
    assert [metric.name for metric in task.metrics] == ["reward", "strict"]
    assert (task.count, task.fields, task.must_agree["repeats"]) == (6, ("category", "source"), "2")
    items = list(task.items(Selection(slice_by=("category",))))
    assert [(item.id, item.repeat) for item in items] == [(str(n), k) for n in reversed(range(6)) for k in range(2)]
    assert items[0].values == {"reward": 0.0, "strict": 0.0}
    assert items[1].values["reward"] == NoValue(reason="the evaluation failed: connection reset")
    assert (items[2].values["reward"], items[2].target, items[2].slices) == (1.0, "B", {"category": "x"})
    numbers = list(side.tasks["numbers"].items(Selection()))
    assert [item.values["reward"] for item in numbers] == [0.5, 0.75, 1.0, 0.5]
    (one,) = (WRITTEN / "base" / "numbers").glob("eval-*.json")
    assert list(read(one).tasks) == ["numbers"]


def test_imported_and_judged(written: Path) -> None:
    """Both benchmarks are tasks of a run; the mean over repeats is the item's value."""
    made = run(written, gates="[{task: letters, metric: strict, max_drop: 0.9}]")
    items = Store(written / "results").items(made.manifest.variants["base"].evaluations["letters"])
    records = {record.item: record for record in items}
    assert len(records["0"].answers) == 2
    assert [candidate.variant for candidate in made.verdict.candidates] == ["quantized"]


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no lines": (lambda folder: (folder / "results.jsonl").unlink(), "has no results.jsonl beside it"),
    "no name": (lambda folder: edit_bundle(folder, lambda each: each["benchmark"].pop("name")), "names no benchmark"),
    "a line is missing": (
        lambda folder: edit_lines(folder, lambda rows: [rows.pop(0), rows.pop(5)]),
        "holds 5 items of letters, and its results say 6|give",
    ),
    "a line comes twice": (lambda folder: edit_lines(folder, lambda rows: rows.append(rows[0])), "already"),
    "a changed reward": (
        lambda folder: edit_lines(folder, lambda rows: rows[1].update(reward=1 - rows[1]["reward"])),
        "gives a mean reward of .* they are not of the same evaluation",
    ),
    "no reward": (lambda folder: edit_lines(folder, lambda rows: rows[1].pop("reward")), "has no `reward`"),
    "a word": (lambda folder: edit_lines(folder, lambda rows: rows[1].update(reward="good")), "to be a number"),
    "no problem": (lambda folder: edit_lines(folder, lambda rows: rows[1].pop("problem_idx")), "`problem_idx`"),
    "a cut line": (
        lambda folder: (folder / "results.jsonl").write_bytes((folder / "results.jsonl").read_bytes()[:-30]),
        "broken JSON",
    ),
    "two benchmarks in a folder": (
        lambda folder: shutil.copy(next(folder.glob("eval-*.json")), folder / "eval-2.json"),
        "keep each in its own folder",
    ),
    "two folders of a benchmark": (
        lambda folder: shutil.copytree(folder, folder.with_name("again")), "are both of letters",
    ),
    "another question": (
        lambda folder: edit_lines(folder, lambda rows: rows[1].update(prompt="?")), "differs from .* in its prompt",
    ),
    "another number of repeats": (
        lambda folder: edit_bundle(folder, lambda each: each["benchmark"].update(repeats=3)), "repeats",
    ),
    "other settings": (
        lambda folder: edit_bundle(folder, lambda each: each["config"].update(temperature=1.0)), "temperature",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_bundles_that_are_refused(written: Path, what: str) -> None:
    """Each with its reason: an error, or a candidate that is INVALID; never compared."""
    change, says = BROKEN[what]
    change(written / "quantized" / "letters")
    try:
        made = run(written, gates="[{task: letters, metric: reward, max_drop: 0.9}]")
    except QuantgateError as error:
        said = str(error)
    else:
        (candidate,) = made.verdict.candidates
        assert candidate.decision == "INVALID"
        said = made.verdict.model_dump_json()
    assert re.search(says, said), said[:2000]


def test_two_models(written: Path) -> None:
    """Both sides in one folder are refused by name."""
    shutil.move(written / "base" / "numbers", written / "quantized" / "more")
    (written / "quantized" / "numbers").rename(written / "numbers")
    with pytest.raises(UnreadableError, match="holds bundles of 2 models: org/base, org/quantized"):
        read(written / "quantized")


def test_what_show_writes_is_read_again(tmp_path: Path) -> None:
    """Our own export imported: the same values, item by item, and a failed item without one."""
    bench, _ = saved_run(tmp_path / "results")
    export("r1", bench.store.root, task=None, form="nel", out=tmp_path / "out")
    for variant in ("fp32", "q4"):
        side = read(tmp_path / "out" / variant)
        records = {record.item: record for record in bench.store.items(bench.key(variant, "pick"))}
        items = list(side.tasks["pick.acc"].items(Selection()))
        assert [item.values["reward"] for item in items] == [
            getattr(records[f"i{item.id}"].metrics["acc"], "value", None) for item in items
        ]
        written = list(side.tasks["write.exact_match"].items(Selection()))
        assert written[-1].values["reward"] == NoValue(reason="the reward is nan")


def test_nothing_there(tmp_path: Path) -> None:
    """A folder without a bundle says what is looked for."""
    with pytest.raises(UnreadableError, match=r"has no eval-\*.json"):
        read(tmp_path)
