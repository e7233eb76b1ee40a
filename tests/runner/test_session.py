"""A worker that the system kills because memory ran out."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.engines.protocol import LoadSpec, ScoreRequest, Window
from harness.engines.scripted import ScriptedEngine
from harness.errors import WorkerError, WorkerMemoryError
from harness.runner.session import Session
from harness.runner.variants import resolve_variant
from harness.suite.load import load_suite
from harness.worker.client import Worker
from harness.worker.meters import memory_kills
from tests.runner.conftest import Write

BATCH = [ScoreRequest(context=tuple(range(3, 3 + n)), continuations=((7,),)) for n in range(20, 4, -1)]
"""16 requests of 21 tokens and fewer: 336 padded."""
WINDOWS = [Window(tokens=tuple(range(3, 53)), scored_from=1) for _ in range(4)]


class Watched:
    """A session on a scripted engine, and the file in which the system counts its kills."""

    def __init__(self, suite: Path, folder: Path, **script: object) -> None:
        self.note, self.workers, self.said = folder / "vmstat", list[Worker](), list[str]()
        self.note.write_text("pgfault 12\noom_kill 3\n")
        variant = resolve_variant(load_suite(suite), "small", offline=True)

        def start() -> Worker:
            log = folder / f"{len(self.workers)}.log"
            self.workers.append(Worker(variant.name, log=log, vmstat=self.note))
            return self.workers[-1]

        self.session = Session(variant, start, self.said.append)


@pytest.fixture
def watched(write_suite: Write, tmp_path: Path) -> Watched:
    script = {"killed_tokens": 90, "killed_note": str(tmp_path / "vmstat")}
    suite = write_suite(
        variants={
            "full": {"engine": "scripted", "baseline": True, "script": {}},
            "small": {"engine": "scripted", "quantized": True, "script": {"quantized_modules": 1, **script}},
        }
    )
    return Watched(suite, tmp_path)


def test_half_the_batch_after_each_kill(watched: Watched) -> None:
    """The same size is never tried twice, more often than other deaths are forgiven, and the answers are the same."""
    session = watched.session
    try:
        found = session.ask(lambda worker: worker.score(BATCH), BATCH)
        assert session.batch_tokens == 84  # 336, 168, 84
        assert len(watched.workers) == 3
        windows = session.ask(lambda worker: worker.score_windows(WINDOWS), WINDOWS)  # 50 tokens each: alone, at once
        assert len(watched.workers) == 3
    finally:
        session.close()
    engine = ScriptedEngine(session.variant.load)
    calm = ScriptedEngine(LoadSpec(variant="small", engine="scripted", path="none", script={"quantized_modules": 1}))
    assert found == calm.score(BATCH)
    assert windows == [engine.score_windows([each])[0] for each in WINDOWS]
    assert all("SIGKILL) by the system, whose memory ran out, during score" in each for each in watched.said)
    assert all(each.endswith("starting the worker again") for each in watched.said)


def test_a_request_that_is_alone_is_given_up(watched: Watched) -> None:
    """Nothing is left to halve, so it dies three times in a row like others."""
    long = [ScoreRequest(context=tuple(range(3, 203)), continuations=((7,),))] * 2
    try:
        with pytest.raises(WorkerMemoryError, match="memory ran out, during score"):
            watched.session.ask(lambda worker: worker.score(long), long)
    finally:
        watched.session.close()
    assert len(watched.workers) == 4  # both at once, then three times alone


def test_a_kill_by_somebody_else_halves_nothing(watched: Watched) -> None:
    """`kill -9` from outside says nothing about memory: the same batches again, so the same records."""
    session, killed = watched.session, list[int]()

    def ask(worker: Worker) -> int:
        if not killed:
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)
        return len(worker.score(BATCH[:4]))

    try:
        assert session.ask(ask, BATCH[:4]) == 4
    finally:
        session.close()
    assert session.batch_tokens is None
    assert "memory" not in watched.said[0]


def test_kills_are_counted_where_the_system_counts_them(tmp_path: Path) -> None:
    """None elsewhere, and then a SIGKILL is said to be often a sign of it."""
    (tmp_path / "vmstat").write_text("oom_kill_other 9\noom_kill 41\n")
    (tmp_path / "old").write_text("pgfault 9\n")
    assert memory_kills(tmp_path / "vmstat") == 41
    assert memory_kills(tmp_path / "old") is None
    assert memory_kills(tmp_path / "none") is None
    with Worker("v", log=tmp_path / "v.log", vmstat=tmp_path / "none") as worker:
        worker.load(LoadSpec(variant="v", engine="scripted", path="none", script={}))
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match="often a sign that memory ran out during score"):
            worker.score(BATCH)
