"""A disk that fills up at random moments: a message with the place and what to do, and nothing half-written.

As root a file system of its own is filled by shrinking it to what it holds. Elsewhere the driver and its worker are
forbidden to let any file grow, which the writer meets in the same calls under another error number.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from harness.errors import RecordError
from harness.records.models import ItemRecord, outcome
from harness.records.store import Chunks
from tests.faults.drivers import Calm, Driver, scraps, survive

ROOM = 1 << 30


class Disk:
    """A folder whose file system can be full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def mounted(self) -> bool:
        return self.folder.is_mount()

    def fill(self) -> None:
        while True:
            state = os.statvfs(self.folder)
            if self._resize((state.f_blocks - state.f_bfree) * state.f_frsize):  # not when more was written since
                return

    def empty(self) -> None:
        self._resize(ROOM)

    def _resize(self, size: int) -> bool:
        command = ["mount", "-o", f"remount,size={max(size, 4096)}", str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "quantgate-test", str(folder)]
    with suppress(OSError):
        subprocess.run(command, capture_output=True, check=False)
    found = Disk(folder)
    yield found
    if found.mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class FullDisk:
    """The disk of the results and reports fills up."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def strike(self, driver: Driver) -> bool:
        if self._disk.mounted:
            self._disk.fill()
        else:
            self._forbid(driver.process.pid)
        driver.process.wait()
        return True

    def _forbid(self, pid: int) -> None:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            for each in (pid, *(child.pid for child in psutil.Process(pid).children())):
                resource.prlimit(each, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def judge(self, driver: Driver, code: int, calm: Calm) -> bool:
        if code == calm.code:  # everything was written by then
            return False
        assert code == 3, driver.said
        said = driver.said.splitlines()[-1]
        assert str(self._disk.folder) in said
        assert "could not be written: " in said or "cannot be written: " in said or " MB free, " in said
        assert "make room there" in said or "Free some space" in said
        assert scraps(self._disk.folder) == []
        for path in self._disk.folder.glob("*/results/**/*.json"):
            json.loads(path.read_bytes())
        for path in self._disk.folder.glob("*/results/evaluations/*/chunks.jsonl"):
            content = path.read_bytes()
            Chunks(path).load()
            assert path.read_bytes() == content, "a torn line was left"
        return True

    def mend(self) -> None:
        if self._disk.mounted:
            self._disk.empty()


@pytest.mark.parametrize("moments", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_a_full_disk(calm: Calm, disk: Disk, moments: int) -> None:
    """Exit code 3, the file named; with room again the same command goes on to equal records."""
    survive(calm, disk.folder, FullDisk(disk), moments=moments, seed=5)


@pytest.mark.slow
def test_a_full_disk_under_a_real_model(calm_real: Calm, disk: Disk) -> None:
    """The worker meets it too, when it stores the baseline's states."""
    survive(calm_real, disk.folder, FullDisk(disk), moments=2, seed=6)


def test_a_chunk_is_stored_whole_or_not_at_all(disk: Disk) -> None:
    """A line that fits in part leaves nothing, so that the next one does not stand behind its rest."""
    if not disk.mounted:
        pytest.skip("needs the right to mount a file system")
    chunks = Chunks(disk.folder / "chunks.jsonl")
    chunks.append([_record("first", 10)])
    before = chunks.path.read_bytes()
    filler = disk.folder / "filler"
    filler.write_bytes(b"\0" * 40_000)
    disk.fill()
    filler.write_bytes(b"\0" * 20_000)
    with pytest.raises(RecordError, match=r"chunks\.jsonl: could not be written: No space left.*make room there"):
        chunks.append([_record("second", 28_000)])
    assert chunks.path.read_bytes() == before
    filler.unlink()
    chunks.append([_record("second", 28_000)])
    assert [chunk[0].item for chunk in Chunks(chunks.path).load()] == ["first", "second"]


def _record(name: str, size: int) -> ItemRecord:
    return ItemRecord(item=name, prompt_hash="p" * size, metrics={"acc": outcome(1.0)})
