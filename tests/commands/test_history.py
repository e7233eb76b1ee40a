"""`quantgate history` over stored runs: filters, formats, and runs that cannot be read."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from harness import api
from harness.cli import app
from harness.errors import RecordError, UsageError
from harness.records.run_manifest import Accepted
from harness.records.store import Store
from harness.records.summary import read_summary, summary_of
from harness.trends import Selection, collect

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from tests.reports.example import example


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three runs of the example suite with verdicts."""
    found = Store(tmp_path)
    for day in (1, 2, 3):
        save(found, day)
    return found


def save(store: Store, day: int) -> Path:
    started = f"2026-03-{day:02d}T10:00:00+00:00"
    path = store.save_verdict(example(run=f"2026030{day}-100000-aaaa").model_copy(update={"started_at": started}))
    (path.parent / "run.json").write_text("{}")  # history asks only whether it is there
    return path


def quantgate(store: Store, *args: str) -> int:
    """The command line in this process; its exit code."""
    done = app(["history", "support-bot", "--results", str(store.root), *args], standalone_mode=False)
    return done or 0


def test_filters_and_formats(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text, CSV and JSON of a selection, and the page beside them, with stdout left to the format."""
    page = tmp_path / "out" / "history.html"
    assert quantgate(store, "--json", "--metric", "acc", "--variant", "nf4", "--last", "2", "--html", str(page)) == 0
    read = json.loads(capsys.readouterr().out)
    assert [(row["run"][:8], row["variant"], row["metric"]) for row in read["figures"]] == [
        ("20260302", "nf4", "acc"),
        ("20260303", "nf4", "acc"),
    ]
    assert "<h1>" in page.read_text()
    quantgate(store, "--csv", "--task", "heldout")
    assert {line.split(",")[4] for line in capsys.readouterr().out.splitlines()[1:]} == {"heldout"}
    quantgate(store)
    assert "intents acc" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--metric", "accuracy"), "--metric accuracy: the runs have acc, "),
        (("--task", "none"), "--task none: the runs have 1x256"),
        (("--variant", "int9"), "--variant int9: the runs have bf16, fake, int8, nf4"),
        (("--last", "0"), "--last: expected an integer of at least 1, got 0"),
        (("--csv", "--json"), "--csv and --json: give one of them"),
    ],
)
def test_a_selection_that_fits_nothing_is_refused(store: Store, args: tuple[str, ...], says: str) -> None:
    """With the names that there are."""
    with pytest.raises(UsageError) as raised:
        quantgate(store, *args)
    assert says in str(raised.value)


def test_unreadable_runs_are_named_and_skipped(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged, a newer and a missing verdict: each is named, the others are shown, the exit code is 0."""
    (store.run_folder("support-bot", "20260301-100000-aaaa") / "verdict.json").write_text("{")
    newer = store.run_folder("support-bot", "20260302-100000-aaaa") / "verdict.json"
    newer.write_text(json.dumps({**json.loads(newer.read_text()), "schema_version": 7}))
    save(store, 4).unlink()
    assert quantgate(store) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("skipped ") == 3
    assert "this quantgate reads up to" in said
    assert "quantgate gate 20260304-100000-aaaa" in said
    assert "20260303" in said
    found = api.history("support-bot", results=store.root)
    assert [each.run[:8] for each in found.skipped] == ["20260301", "20260302", "20260304"]


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    """When no verdict can be read there is no history, and it says why."""
    store = Store(tmp_path)
    save(store, 1).write_text("")
    with pytest.raises(RecordError, match="no run of this suite has a verdict that could be read"):
        quantgate(store)


def test_promoted_versions_come_from_the_store(store: Store) -> None:
    """What `promote` wrote is marked."""
    store.accept("support-bot", Accepted(run="20260302-100000-aaaa", variant="int8", promoted_at="now"))
    found = api.history("support-bot", results=store.root, selection=Selection(variants=("int8",)))
    assert {row.run[:8] for row in found.figures if row.accepted} == {"20260302"}


def test_300_runs_take_about_a_second(tmp_path: Path) -> None:
    """Reading 300 verdicts and following their figures; generous for a busy machine."""
    save(Store(tmp_path), 1)
    began = time.process_time()
    summaries = [read_summary(tmp_path, "support-bot", "20260301-100000-aaaa") for _ in range(300)]
    runs = [
        each.model_copy(update={"run": f"run-{n:03d}", "started_at": f"{n:05d}"}) for n, each in enumerate(summaries)
    ]
    found = collect("support-bot", runs)
    assert len(found.runs) == 300
    assert time.process_time() - began < 5
    assert summaries[0] == summary_of(example(run="20260301-100000-aaaa")).model_copy(
        update={"started_at": "2026-03-01T10:00:00+00:00"}
    )
