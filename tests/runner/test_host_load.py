"""Whether a run has the processors to itself, and what that changes for its workers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.engines.protocol import LoadSpec
from harness.runner import host
from harness.runner.host import Usage, is_idle, limited, others
from harness.runner.interpreters import Runtime
from harness.runner.variants import RunVariant
from harness.runner.workers import Workers
from harness.suite.variant_model import Variant
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
def test_idle_is_next_to_no_work_of_others(tmp_path: Path, busy: float, expected: bool) -> None:
    """Ten seconds in which we worked for three, and others for a part."""
    before, after = usage(20, 100, 5), usage(30, 100 + 10 * busy + 3, 8)
    assert is_idle(before, after, quota=tmp_path / "none") is expected


def test_a_limited_container_is_not_idle(tmp_path: Path) -> None:
    """Threads that spin would use up what it may compute."""
    (tmp_path / "cpu.max").write_text("1000 100000")
    assert not is_idle(usage(20, 100, 5), usage(30, 100, 5), quota=tmp_path / "cpu.max")


@pytest.mark.parametrize(("ago", "least", "most"), [(10.0, 0.0, 0.2), (0.0, host.SHORTEST_S - 0.01, 60.0)])
def test_usage_is_looked_at_for_long_enough(ago: float, least: float, most: float) -> None:
    """No longer where enough time has passed already."""
    started = time.monotonic()
    Usage.later(usage(started - ago, 100, 5))
    assert least <= time.monotonic() - started < most


def test_our_own_work_is_not_company() -> None:
    before = Usage.now()
    until = time.process_time() + 0.5
    while time.process_time() < until:
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


def wait_policy(worker: Worker) -> str | None:
    """OMP_WAIT_POLICY of a worker's process."""
    place = Path(f"/proc/{worker.pid}/environ")
    deadline = time.monotonic() + 10
    while not place.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.01)  # empty for a moment, while the process becomes the worker
    environment = place.read_bytes().split(b"\0")
    return dict(os.fsdecode(each).partition("=")[::2] for each in environment if b"=" in each).get("OMP_WAIT_POLICY")


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
    with Worker("v", log=tmp_path / "log", spins=spins) as worker:
        assert wait_policy(worker) == expected


@pytest.mark.parametrize(
    ("engine", "device", "idle", "expected"),
    [
        ("transformers", "cpu", True, None),
        ("transformers", "cpu", False, "PASSIVE"),
        ("transformers", "cuda:0", True, "PASSIVE"),
        ("llama.cpp", "cpu", True, "PASSIVE"),
    ],
)
def test_scoring_workers_spin_where_the_machine_is_idle_and_timing_ones_never(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, engine: str, device: str, idle: bool, expected: str | None
) -> None:
    """Found in the environment of real processes."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    made = Workers(tmp_path, print, stuck_after=None, is_idle=lambda: idle)
    variant = RunVariant(
        name="v",
        spec=Variant(),
        load=LoadSpec(variant="v", engine=engine, path="p", device=device),
        versions={},
        runtime=Runtime(),
    )
    with made.scoring(variant) as scoring, made.timing(variant) as timing:
        assert (wait_policy(scoring), wait_policy(timing)) == (expected, "PASSIVE")
