"""Live progress on stderr: bars on a terminal, plain lines elsewhere, nothing for the library."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

QUIET_S = 10.0
"""Seconds between plain lines of one task."""


class Reporter(Protocol):
    """What a run tells while it works."""

    def say(self, text: str) -> None:
        """One line that stays."""
        ...

    def task(self, variant: str, task: str, total: int, done: int, unit: str) -> None:
        """`variant` starts on `task`; `done` of `total` were there already."""
        ...

    def advance(self, count: int) -> None: ...

    def finish(self) -> None:
        """The current task is done."""
        ...


class Silent:
    """For the library: says nothing."""

    def say(self, text: str) -> None:
        del text

    def task(self, variant: str, task: str, total: int, done: int, unit: str) -> None:
        del variant, task, total, done, unit

    def advance(self, count: int) -> None:
        del count

    def finish(self) -> None:
        return None


class _Rate(ProgressColumn):
    """Items a second over the task so far."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "items")
        return Text("" if speed is None else f"{speed:.1f} {unit}/s", style="cyan")


class Bars:
    """rich bars for a terminal: one line a variant and task, with items/s and the time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._current: TaskID | None = None

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def task(self, variant: str, task: str, total: int, done: int, unit: str) -> None:
        name = f"{variant} · {task}"
        self._current = self._progress.add_task(name, total=total, completed=done, unit=unit)

    def advance(self, count: int) -> None:
        if self._current is not None:
            self._progress.advance(self._current, count)

    def finish(self) -> None:
        self._current = None


class Lines:
    """Plain lines for logs and CI: at the start, every `QUIET_S` seconds, and at the end of a task."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name, self._unit = "", "items"
        self._total = self._done = self._before = 0
        self._started = self._said = 0.0

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def task(self, variant: str, task: str, total: int, done: int, unit: str) -> None:
        self._name, self._unit, self._total = f"{variant} · {task}", unit, total
        self._done = self._before = done
        self._started = self._said = time.monotonic()
        already = f", {done} already there" if done else ""
        self.say(f"{self._name}: {total} {unit}{already}")

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._said < QUIET_S or self._done >= self._total:
            return
        self._said = now
        rate = (self._done - self._before) / (now - self._started)
        left = (self._total - self._done) / rate if rate else 0.0
        self.say(f"{self._name}: {self._done}/{self._total}, {rate:.1f} {self._unit}/s, about {_clock(left)} left")

    def finish(self) -> None:
        took = time.monotonic() - self._started
        new = self._done - self._before
        rate = f", {new / took:.1f} {self._unit}/s" if new and took > 0 else ""
        self.say(f"{self._name}: {self._done}/{self._total} in {_clock(took)}{rate}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@contextmanager
def reporter(console: Console) -> Iterator[Reporter]:
    """The reporter that fits the console."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        yield Bars(progress)
