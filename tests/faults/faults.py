"""What happens to a run: `tests.faults.drivers.Fault`s, each with what it has to lead to."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from harness.records.chunks import Chunks
from tests.faults.drivers import Driver, scraps

BUSY = """
import ctypes, os, signal, tempfile
ctypes.CDLL(None).prctl(1, signal.SIGKILL) if os.uname().sysname == "Linux" else None  # not longer than the tests
with tempfile.TemporaryFile() as scratch:
    while True:
        sum(n * n for n in range(200_000))
        scratch.seek(0)
        scratch.write(bytes(1 << 20))
        scratch.flush()
        os.fsync(scratch.fileno())
"""
"""Computes, and writes to the disk that the results go to."""
ROOM = 1 << 30
STUCK_S = 6
"""For --stuck-after. A loaded machine starts a scripted worker in less."""


class Load:
    """Other processes that want every core, as on a machine that does more than this."""

    def __init__(self) -> None:
        self._busy: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Load:
        for _ in range(2 * (os.cpu_count() or 1)):
            self._busy.append(subprocess.Popen([sys.executable, "-c", BUSY]))
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._busy:
            process.kill()
            process.wait()


def kill_driver(driver: Driver) -> bool:
    """kill -9. Its workers end with it."""
    driver.process.kill()
    return driver.wait() == -9


def kill_worker(driver: Driver) -> bool:
    """kill -9 of whichever worker was started last. The driver goes on, or gives up after three in a row."""
    worker = driver.worker()
    with suppress(psutil.NoSuchProcess):
        if worker is not None:
            worker.kill()
            return True
    return False


def stop_worker(driver: Driver) -> bool:
    """SIGSTOP: alive for the system, and silent."""
    worker = driver.worker()
    if worker is None:
        return False
    says = f"the worker gave no sign of life for {STUCK_S} s during"
    before = driver.said.count(says)
    with suppress(psutil.NoSuchProcess):
        worker.suspend()
    while driver.said.count(says) == before and driver.lives_for(0.1):
        pass
    return driver.said.count(says) > before and "starting the worker again" in driver.said


def terminate(driver: Driver) -> bool:
    return _stop(driver, signal.SIGTERM)


def interrupt(driver: Driver) -> bool:
    return _stop(driver, signal.SIGINT)


def _stop(driver: Driver, number: signal.Signals) -> bool:
    """A signal to the driver's process group, as a terminal or a CI system sends it."""
    os.killpg(driver.process.pid, number)
    at = time.monotonic()
    code = driver.wait()
    assert time.monotonic() - at < 20
    if code != 128 + number:
        assert code in (0, 10, 11), (code, driver.said)  # it was over already
        return False
    said = driver.said.splitlines()[-1]
    assert said == "stopped; what was measured is stored, the same command goes on from there"
    return True


class Disk:
    """A folder whose file system can be full.

    With the right to mount it is one of its own, filled by shrinking it to what it holds. Else the driver and its
    workers are forbidden to let any file grow, which meets the same calls under another error number.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "quantgate-test", str(folder)]
        with suppress(OSError):
            subprocess.run(command, capture_output=True, check=False)
        self.mounted = folder.is_mount()

    def fill_up(self, driver: Driver) -> bool:
        """No room from now on: exit code 3, the place and what to do, nothing half-written. Then there is room."""
        if self.mounted:
            self.fill()
        else:
            self._forbid(driver.process.pid)
        code = driver.wait()
        if self.mounted:
            self._resize(ROOM)
        if code in (0, 10, 11):  # all was written by then
            return False
        assert code == 3, driver.said
        said = driver.said.splitlines()[-1]
        assert str(self.folder) in said or "a temporary file: " in said, driver.said
        assert any(
            words in said for words in ("could not be written: ", "cannot be written: ", " free, this run may need ")
        )
        assert "make room there" in said or "Free some space" in said
        self.assert_whole()
        return True

    def assert_whole(self) -> None:
        """No file is there in part."""
        assert scraps(self.folder) == []
        for path in self.folder.glob("*/results/**/*.json"):
            json.loads(path.read_bytes())
        for path in self.folder.glob("*/results/evaluations/*/chunks.jsonl"):
            content = path.read_bytes()
            Chunks(path).load()
            assert path.read_bytes() == content, "a torn line was left"

    def fill(self) -> None:
        while True:
            state = os.statvfs(self.folder)
            if self._resize((state.f_blocks - state.f_bfree) * state.f_frsize):  # not when more was written since
                return

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def _resize(self, size: int) -> bool:
        command = ["mount", "-o", f"remount,size={max(size, 4096)}", str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _forbid(self, pid: int) -> None:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            for each in (pid, *(child.pid for child in psutil.Process(pid).children())):
                resource.prlimit(each, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
