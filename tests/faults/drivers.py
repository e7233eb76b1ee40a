"""Runs of the command line that are disturbed from outside, and what has to be equal afterwards."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.records.store import Store

MARK = "QUANTGATE_TESTED_BY"
"""Environment variable by which every process of a driver is known, also an orphan."""
LIMIT_S = 600.0
"""For a run of seconds, on a machine that does much else."""
START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
from harness.entry import main
main()
"""
PASSING = {"run", "started_at", "judged_at", "elapsed_s", "load_s", "seconds", "log", "speed", "memory",
           "baseline_memory", "checksum"}  # fmt: skip
"""Keys of a verdict that differ between two equal runs."""


class Driver:
    """One `quantgate run`, started as a person would start it, with a budget that does not go by what is free."""

    def __init__(self, suite: Path, place: Path, options: Sequence[str] = ()) -> None:
        self._mark = uuid.uuid4().hex
        self._lines: list[str] = []
        self.process = subprocess.Popen(
            [
                sys.executable, "-c", START, "run", str(suite), "--offline", "--memory-budget", "1GiB", *options,
                "--results", str(place / "results"), "--reports", str(place / "reports"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, MARK: self._mark},
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self._lines.extend(self.process.stderr)

    @property
    def said(self) -> str:
        return "".join(self._lines)

    def lives_for(self, seconds: float) -> bool:
        """Wait; whether it still runs then."""
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def speaks(self) -> None:
        """Wait until it says that it plans, so that its start is over."""
        while "planning" not in self.said and self.lives_for(0.02):
            pass

    def worker(self) -> psutil.Process | None:
        """The worker that was started last; waits for one while the driver lives."""
        while self.lives_for(0.02):
            try:
                children = psutil.Process(self.process.pid).children()
                found = [each for each in children if "harness.worker.main" in each.cmdline()]
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if found:
                return found[-1]
        return None

    def wait(self) -> int:
        """Its exit code. Nothing it started may outlive it."""
        code = self.process.wait(timeout=LIMIT_S)
        _, alive = psutil.wait_procs(self._marked(), timeout=10)
        assert not alive, f"left behind: {alive}"
        self._reader.join()
        return code

    def _marked(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._mark and process.pid != self.process.pid:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for left in self._marked():
            left.kill()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


@dataclass(frozen=True, kw_only=True)
class Calm:
    """An undisturbed run: what every disturbed one has to come to."""

    suite: Path
    place: Path
    code: int
    seconds: float


def undisturbed(suite: Path, place: Path) -> Calm:
    started = time.monotonic()
    with Driver(suite, place) as driver:
        code = driver.wait()
        assert code in (0, 10, 11), driver.said
    return Calm(suite=suite, place=place, code=code, seconds=time.monotonic() - started)


def outcome(place: Path) -> dict[str, object]:
    """Item records byte for byte, stored states, and the verdict without what passes; all checksums hold."""
    store = Store(place / "results")
    run = store.find_run("latest")
    found: dict[str, object] = {}
    for name, variant in run.variants.items():
        for task, key in variant.evaluations.items():
            store.items(key)
            folder = store.evaluation_folder(key)
            manifest = store.evaluation(key)
            assert manifest is not None
            found[f"{name} {task}"] = (manifest.digest, manifest.items, _answers(folder / "chunks.jsonl"))
            for states in sorted(folder.glob("states/*")):
                found[f"{name} {task} {states.name}"] = states.read_bytes()
    verdict = (store.run_folder(run.suite, run.run) / "verdict.json").read_text()
    found["verdict"] = json.loads(
        verdict, object_hook=lambda each: {key: value for key, value in each.items() if key not in PASSING}
    )
    return found


def _answers(chunks: Path) -> list[bytes]:
    """The stored lines without their checksums, which are bound to the evaluation's key."""
    return [line.partition(b" ")[2] for line in chunks.read_bytes().splitlines()]


def assert_equal(place: Path, calm: Calm, *, noise: bool = True) -> None:
    """The disturbed run came to the undisturbed one's records and verdict, and left no scraps. Without `noise` its
    verdict says that the second pass could not be finished, and the rest is equal."""
    expected, got = outcome(calm.place), outcome(place)
    assert got.keys() == expected.keys()
    if not noise:
        verdicts = expected["verdict"], got["verdict"]
        assert isinstance(verdicts[0], dict)
        assert isinstance(verdicts[1], dict)
        assert verdicts[1]["noise"]["note"].startswith("the second pass could not be finished: ")
        for name in ("noise", "baseline_checks"):
            verdicts[0].pop(name), verdicts[1].pop(name)
    assert [name for name in got if got[name] != expected[name]] == []
    assert scraps(place) == []


def gave_up(place: Path) -> bool:
    """Whether the worker of the noise floor died three times in a row, which stops no run."""
    run = Store(place / "results").find_run("latest")
    return run.variants[run.baseline].second_pass_failure is not None


def scraps(place: Path) -> list[Path]:
    """Temporary files that somebody left."""
    return [path for path in place.rglob(".*") if path.is_file() and path.name != ".lock"]


Fault = Callable[[Driver], bool]
"""Something that happens to a driver now. Asserts what it leads to; returns whether it hit a run at work."""


def survive(
    calm: Calm, place: Path, faults: Sequence[Fault], *, seed: int, within: float, options: Sequence[str] = ()
) -> None:
    """Give the same command again and again, each fault at a random moment up to `within` seconds after the one
    before or the start, until all have hit; then once undisturbed. Whenever it comes to its end, the records are
    equal, and the next run starts in an empty folder. A run that gave the baseline's second pass up said so and is
    given again, as one is that gave a candidate up."""
    source = random.Random(seed)
    waiting = list(faults)
    number = 0
    for _ in range(3 * len(faults) + 3):
        folder = place / str(number)
        with Driver(calm.suite, folder, options) as driver:
            driver.speaks()
            while waiting and driver.lives_for(source.uniform(0, within)):
                if waiting[0](driver):
                    waiting.pop(0)
            code = driver.wait()
            lines = driver.said.splitlines()
            assert not [line for line in lines if line.startswith("Traceback") or "bug in quantgate" in line], lines
        if code == calm.code:
            unfinished = gave_up(folder)
            assert_equal(folder, calm, noise=not unfinished)
            if unfinished:
                continue
            if not waiting:
                return
            number += 1
    raise AssertionError(f"{len(waiting)} of {len(faults)} faults did not hit, or the run did not come to its end")
