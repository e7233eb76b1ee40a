"""What ends a worker that does not answer, and how long that may take."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from harness.engines.protocol import LoadSpec, ScoreRequest
from harness.errors import UsageError, WorkerError
from harness.runner.abba_timing import Timer
from harness.runner.host import this_host
from harness.runner.progress import Silent
from harness.runner.run_options import RunOptions
from harness.runner.session import Session
from harness.runner.variants import RunVariant, resolve_variant
from harness.suite.load import load_suite
from harness.worker.client import Worker
from tests.faults.drivers import Calm


def test_a_worker_stopped_before_a_long_request(tmp_path: Path) -> None:
    """A request that does not fit the pipe of a process that reads nothing is not written forever."""
    long = ScoreRequest(context=tuple(range(100_000)), continuations=((1,),))
    with Worker("v", log=tmp_path / "v.log", hang_s=2.0) as worker:
        worker.load(LoadSpec(variant="v", engine="scripted", path="none", script={}))
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(WorkerError, match="no sign of life for 2 s during score"):
            worker.score([long])


def test_a_worker_at_work_is_ended_at_once(tmp_path: Path) -> None:
    """Closing does not wait for an answer that nobody will read, as after Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise InterruptedError

    worker = Worker("v", log=tmp_path / "v.log")
    worker.load(LoadSpec(variant="v", engine="scripted", path="none", script={"delay": 60.0}))
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(InterruptedError):
            worker.score([ScoreRequest(context=(1,), continuations=((1,),))])
    finally:
        signal.signal(signal.SIGALRM, before)
    started = time.monotonic()
    worker.close()
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(("slowest", "limit"), [(None, 3600), (0.5, 600), (60, 600), (100, 1000), (1000, 10_000)])
def test_the_limit_grows_with_the_slowest_chunk(variant: RunVariant, slowest: float | None, limit: float) -> None:
    """An hour for a task's first chunk, then ten times the slowest but at least ten minutes; or what was asked."""

    def never() -> Worker:
        raise AssertionError

    assert Session(variant, never, print).limit_s(slowest) == limit
    assert Session(variant, never, print, stuck_after=7.0).limit_s(slowest) == 7


@pytest.fixture
def variant(calm: Calm) -> RunVariant:
    return resolve_variant(load_suite(calm.suite), "small", offline=True)


def test_a_limit_of_nothing_is_refused(calm: Calm, tmp_path: Path) -> None:
    """--stuck-after takes seconds, more than 0."""
    with pytest.raises(UsageError, match="--stuck-after: expected seconds, more than 0, got 0"):
        RunOptions(results=tmp_path, stuck_after=0.0).check(load_suite(calm.suite).suite)


def test_a_dead_timing_worker_does_not_spoil_the_next_candidate(
    variant: RunVariant, calm: Calm, tmp_path: Path
) -> None:
    """The baseline's worker is shared by all candidates; when it dies in between, both sides start anew."""
    baseline = resolve_variant(load_suite(calm.suite), "full", offline=True)
    workers: list[Worker] = []

    def start(each: RunVariant) -> Worker:
        workers.append(Worker(each.name, log=tmp_path / f"{len(workers)}.log"))
        return workers[-1]

    speed = load_suite(calm.suite).suite.speed
    assert speed is not None
    timer = Timer(baseline, start, speed)
    try:
        timer.measure(variant, this_host(), Silent())
        os.kill(workers[0].pid, signal.SIGKILL)
        record = timer.measure(variant, this_host(), Silent())
    finally:
        timer.close()
    assert [len(workload.pairs) for workload in record.workloads] == [speed.pairs]
    assert [worker.variant for worker in workers] == ["full", "small", "small", "full", "small"]
