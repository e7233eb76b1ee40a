"""Whether a run has the processors to itself, and what that changes for its workers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from harness.engines.protocol import LoadSpec
from harness.runner import host_load, workers
from harness.runner.host_load import Usage, is_idle, limited, others
from harness.runner.workers import Workers
from harness.worker.client import Worker


def usage(at: float, everyone: float, own: float) -> Usage:
    return Usage(at=at, everyone=everyone, own=own)


@pytest.mark.parametrize(
    ("everyone", "own", "expected"),
    [(0.0, 0.0, 0.0), (2.0, 2.0, 0.0), (2.0, 0.0, 1.0), (3.0, 2.0, 0.5), (0.1, 0.0, 0.05)],
)
def test_the_processors_that_others_keep_busy(everyone: float, own: float, expected: float) -> None:
    assert others(usage(10, 500, 30), usage(12, 500 + everyone, 30 + own)) == pytest.approx(expected)


@pytest.mark.parametrize(("busy", "expected"), [(0.0, True), (0.2, True), (0.3, False), (2.0, False)])
def test_alone_is_next_to_no_work_of_others(monkeypatch: pytest.MonkeyPatch, busy: float, expected: bool) -> None:
    monkeypatch.setattr(host_load, "QUOTA", Path("/nonexistent"))
    before = usage(time.monotonic() - 10, 100, 5)
    monkeypatch.setattr(Usage, "now", lambda: usage(before.at + 10, 100 + 10 * busy + 3, 8))
    started = time.monotonic()
    assert is_idle(before) is expected
    assert time.monotonic() - started < host_load.SHORTEST_S, "ten seconds have been looked at already"


def test_our_own_work_is_not_company() -> None:
    before = Usage.now()
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        pass
    after = Usage.now()
    assert after.own - before.own == pytest.approx(0.5, abs=0.3)
    assert after.everyone - before.everyone >= after.own - before.own - 0.1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000\n", False), ("1000 100000\n", True), ("100000000000 100000\n", False), ("", False), ("x y\n", False)],
)
def test_a_container_with_less_processor_time_than_processors(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert limited(tmp_path / "cpu.max") is expected


def test_without_control_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert not limited(tmp_path / "cpu.max")


@pytest.mark.parametrize(
    ("spins", "users", "expected"),
    [(False, None, "PASSIVE"), (True, None, None), (False, "ACTIVE", "ACTIVE"), (True, "PASSIVE", "PASSIVE")],
)
def test_a_workers_threads_wait_as_asked_and_as_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spins: bool, users: str | None, expected: str | None
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if users is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", users)
    worker = Worker("v", log=tmp_path / "log", spins=spins)
    try:
        place = Path(f"/proc/{worker.pid}/environ")
        deadline = time.monotonic() + 10
        while not place.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.01)  # empty for a moment, while the process becomes the worker
        environment = place.read_bytes().split(b"\0")
        found = dict(os.fsdecode(each).partition("=")[::2] for each in environment if b"=" in each)
        assert found.get("OMP_WAIT_POLICY") == expected
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("engine", "device", "by_itself", "expected"),
    [
        ("transformers", "cpu", True, True),
        ("transformers", "cpu", False, False),
        ("transformers", "cuda:0", True, False),
        ("llama.cpp", "cpu", True, False),
    ],
)
def test_scoring_workers_spin_where_a_run_is_alone_and_timing_ones_never(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: str, device: str, by_itself: bool, expected: bool
) -> None:
    asked: list[bool] = []

    def started(*_: object, spins: bool, **__: object) -> MagicMock:
        asked.append(spins)
        return MagicMock()

    monkeypatch.setattr(workers, "Worker", started)
    monkeypatch.setattr(workers, "alone", lambda _: by_itself)
    made = Workers(tmp_path, print, stuck_after=None, since=Usage.now())
    variant: Any = SimpleNamespace(
        name="v", load=LoadSpec(variant="v", engine=engine, path="p", device=device), runtime=MagicMock()
    )
    made.session(variant).begin()
    made.timing(variant)
    assert asked == [expected, False]
