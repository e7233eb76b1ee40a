"""Live progress on stderr: bars on a terminal, plain lines elsewhere, nothing for the library."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
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


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Items, and the work in them. Items differ in length, so only the work says how much time is left."""

    items: int
    work: float
    """Tokens, or whatever takes time in proportion."""


class Reporter(Protocol):
    """What a run tells while it works."""

    def say(self, text: str) -> None:
        """One line that stays."""
        ...

    def task(self, variant: str, task: str, total: Amount, done: Amount, unit: str) -> None:
        """`variant` starts on `task`; `done` of `total` was there already."""
        ...

    def advance(self, amount: Amount) -> None: ...

    def finish(self) -> None:
        """The current task is done."""
        ...


class Silent:
    """For the library: says nothing."""

    def say(self, text: str) -> None:
        del text

    def task(self, variant: str, task: str, total: Amount, done: Amount, unit: str) -> None:
        del variant, task, total, done, unit

    def advance(self, amount: Amount) -> None:
        del amount

    def finish(self) -> None:
        return None


class _Items(ProgressColumn):
    """Items done of all, and items a second since the task began here."""

    def render(self, task: Task) -> Text:
        items, before, unit = (task.fields[name] for name in ("items", "before", "unit"))
        elapsed = task.finished_time if task.finished else task.elapsed
        rate = f" {(items - before) / elapsed:.1f} {unit}/s" if elapsed and items > before else ""
        return Text.assemble(f"{items}/{task.fields['of']}", (rate, "cyan"))


class Bars:
    """rich bars for a terminal: one line a variant and task, with items/s and the time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._current: TaskID | None = None
        self._items = 0

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def task(self, variant: str, task: str, total: Amount, done: Amount, unit: str) -> None:
        self._items = done.items
        self._current = self._progress.add_task(
            f"{variant} · {task}",
            total=total.work,
            completed=done.work,  # type: ignore[arg-type]  # rich says int and takes any number
            unit=unit,
            items=done.items,
            before=done.items,
            of=total.items,
        )

    def advance(self, amount: Amount) -> None:
        if self._current is not None:
            self._items += amount.items
            self._progress.update(self._current, advance=amount.work, items=self._items)

    def finish(self) -> None:
        self._current = None


class Lines:
    """Plain lines for logs and CI: at the start, every `QUIET_S` seconds, and at the end of a task."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name, self._unit = "", "items"
        self._total = self._before = self._done = Amount(items=0, work=0.0)
        self._started = self._said = 0.0

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def task(self, variant: str, task: str, total: Amount, done: Amount, unit: str) -> None:
        self._name, self._unit, self._total = f"{variant} · {task}", unit, total
        self._done = self._before = done
        self._started = self._said = time.monotonic()
        already = f", {done.items} already there" if done.items else ""
        self.say(f"{self._name}: {total.items} {unit}{already}")

    def advance(self, amount: Amount) -> None:
        self._done = Amount(items=self._done.items + amount.items, work=self._done.work + amount.work)
        now = time.monotonic()
        if now - self._said < QUIET_S or self._done.items >= self._total.items:
            return
        self._said = now
        took = now - self._started
        rate = (self._done.items - self._before.items) / took
        left = took * (self._total.work - self._done.work) / (self._done.work - self._before.work)
        counts = f"{self._done.items}/{self._total.items}, {rate:.1f} {self._unit}/s"
        self.say(f"{self._name}: {counts}, about {_clock(left)} left")

    def finish(self) -> None:
        took = time.monotonic() - self._started
        new = self._done.items - self._before.items
        rate = f", {new / took:.1f} {self._unit}/s" if new and took > 0 else ""
        self.say(f"{self._name}: {self._done.items}/{self._total.items} in {_clock(took)}{rate}")


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
        _Items(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=False) as progress:
        yield Bars(progress)
