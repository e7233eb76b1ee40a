"""The results folder: append with checksums, completion by rename, one run at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import RecordError, RunError, UsageError
from harness.records.chunks import Chunks
from harness.records.items import Failed, ItemRecord, Scored, outcome
from harness.records.run_manifest import Accepted
from harness.records.store import Store, write_atomically
from tests.faults.faults import Disk


def record(name: str, value: float = 1.0) -> ItemRecord:
    return ItemRecord(item=name, prompt_hash="p", metrics={"acc": outcome(value)})


def test_chunks_come_back_as_written(tmp_path: Path) -> None:
    """What was appended is what is read, in order, with the same digest."""
    chunks = Chunks(tmp_path / "e" / "chunks.jsonl")
    chunks.append([record("a"), record("b", 0.0)])
    chunks.append([record("c")])
    again = Chunks(chunks.path)
    assert [[item.item for item in chunk] for chunk in again.load()] == [["a", "b"], ["c"]]
    assert again.digest() == chunks.digest()


@pytest.mark.parametrize("kept", [1, 30, 100])
def test_torn_last_line_is_cut_off(tmp_path: Path, kept: int) -> None:
    """A writer killed in mid-write loses that chunk only; the next append goes on cleanly."""
    chunks = Chunks(tmp_path / "chunks.jsonl")
    chunks.append([record("a")])
    whole = chunks.path.read_bytes()
    chunks.append([record("b")])
    chunks.path.write_bytes(chunks.path.read_bytes()[: len(whole) + kept])
    resumed = Chunks(chunks.path)
    assert [item.item for chunk in resumed.load() for item in chunk] == ["a"]
    resumed.append([record("b")])
    assert [item.item for chunk in Chunks(chunks.path).load() for item in chunk] == ["a", "b"]


def test_a_chunk_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    """On a full disk a line that fits in part leaves nothing, so that the next one does not stand behind its rest."""
    disk = Disk(tmp_path / "disk")
    if not disk.mounted:
        pytest.skip("needs the right to mount a file system")
    try:
        chunks = Chunks(disk.folder / "chunks.jsonl")
        chunks.append([record("a")])
        before, filler = chunks.path.read_bytes(), disk.folder / "filler"
        filler.write_bytes(b"\0" * 40_000)
        disk.fill()
        filler.write_bytes(b"\0" * 20_000)
        with pytest.raises(RecordError, match=r"chunks\.jsonl: could not be written: No space left.*make room there"):
            chunks.append([record("b" * 28_000)])
        assert chunks.path.read_bytes() == before
        filler.unlink()
        chunks.append([record("b")])
        assert [chunk[0].item for chunk in Chunks(chunks.path).load()] == ["a", "b"]
    finally:
        disk.close()


def test_changed_byte_is_named(tmp_path: Path) -> None:
    """A damaged chunk is an error with its file and line, never a silently different score."""
    chunks = Chunks(tmp_path / "chunks.jsonl")
    chunks.append([record("a")])
    chunks.append([record("b")])
    content = chunks.path.read_bytes().replace(b'"item":"a"', b'"item":"z"')
    chunks.path.write_bytes(content)
    with pytest.raises(RecordError, match=r"chunks\.jsonl:1: .*checksum.*--fresh"):
        Chunks(chunks.path).load()


def test_outcome_is_never_nan() -> None:
    """NaN and infinity are failures, not values."""
    assert isinstance(outcome(float("nan")), Failed)
    assert isinstance(outcome(float("inf")), Failed)
    assert outcome(0.5) == Scored(value=0.5)


def test_second_run_is_turned_away(tmp_path: Path) -> None:
    """Two runs into one folder: the second is told who holds it."""
    store = Store(tmp_path)
    code = (
        "import sys; from pathlib import Path; from harness.records.store import Store\n"
        "from harness.errors import RunError\n"
        "try:\n    Store(Path(sys.argv[1])).locked().__enter__()\n"
        "except RunError as error:\n    print(error)\n"
    )
    with store.locked():
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "in use by quantgate run, process" in done.stdout
    with store.locked():
        pass


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    """Temporary files of a writer that was killed go with the next run; everything else stays."""
    store = Store(tmp_path)
    states = store.evaluation_folder("k") / "states"
    states.mkdir(parents=True)
    for name in (".000000.npy.x1", "000000.npy"):
        (states / name).write_text("")
    with store.locked():
        assert [path.name for path in states.iterdir()] == ["000000.npy"]


def test_unwritable_folder_is_found_early(tmp_path: Path) -> None:
    """A results path that is a file is refused before anything runs."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        Store(tmp_path / "file" / "results").check_writable(0)
    with pytest.raises(RunError, match="free, this run may need"):
        Store(tmp_path / "results").check_writable(10**18)


def test_atomic_write_leaves_no_scraps(tmp_path: Path) -> None:
    """A write that fails leaves the old file and no temporary one."""
    target = tmp_path / "x.json"
    write_atomically(target, b"old")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RecordError, match="could not be written"):
        write_atomically(tmp_path / "folder", b"new")
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "x.json"]


def test_no_runs_says_how_to_make_one(tmp_path: Path) -> None:
    """Asking for a run in an empty folder is a usage error with the next step."""
    with pytest.raises(UsageError, match="quantgate run SUITE"):
        Store(tmp_path).find_run("latest")


def test_promoted_versions_keep_their_order(tmp_path: Path) -> None:
    """The last promoted version is the reference; earlier ones are not forgotten."""
    store = Store(tmp_path)
    for name in ("one", "two"):
        store.accept("s", Accepted(run=name, variant="v", promoted_at="2026-01-01T00:00:00+00:00"))
    assert [each.run for each in store.accepted("s")] == ["one", "two"]
