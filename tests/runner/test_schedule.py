"""A run's id, and what a run is said to have to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.records.runs import new_run_id
from harness.runner.eta import Amount, WorkItem
from harness.runner.progress import Silent
from harness.runner.run_options import RunOptions
from harness.runner.schedule import run_suite
from harness.suite.load import load_suite

SPEED = {"workloads": [{"batch": 1, "prompt_tokens": 8, "new_tokens": 4}], "pairs": 2}


class Noted(Silent):
    """Keeps what was expected, and what was then done."""

    def __init__(self) -> None:
        self.expected: list[tuple[str, str, float]] = []
        self.done: list[tuple[str, str, float]] = []
        self.said: list[str] = []

    def expect(self, parts: Sequence[WorkItem]) -> None:
        self.expected = [(part.variant, part.task, part.work) for part in parts]

    def say(self, text: str) -> None:
        self.said.append(text)

    def task(self, variant: str, task: str, total: Amount, done: Amount, unit: str) -> None:
        del done, unit
        self.done.append((variant, task, total.work))


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    """A later run comes later in a folder; two of one second differ."""
    now = datetime(2026, 11, 21, 5, 28, 14, tzinfo=UTC)
    ids = {new_run_id(now) for _ in range(20)}
    assert len(ids) > 1
    assert all(each.startswith("20261121-052814-") for each in ids)
    assert max(ids) < new_run_id(now + timedelta(seconds=1))


def test_what_is_expected_is_what_is_done(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    """Every evaluation, the baseline's second pass and every timing, in order and with its work; then nothing."""
    loaded = load_suite(write_suite(speed=SPEED, items=24))
    first, second = Noted(), Noted()
    options = RunOptions(results=tmp_path / "r")
    run_suite(loaded, options, first)
    assert first.expected == first.done
    assert {task for _, task, _ in first.done} == {"ask", "say", "read", "speed"}
    run_suite(loaded, options, second)
    assert (second.expected, second.done) == ([], [])
    assert "small · speed: already there" in second.said
