"""Live progress on stderr: bars on a terminal, plain lines elsewhere, nothing for the library."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from harness.notation import duration
from harness.runner.eta import Amount, Eta, Remaining, WorkItem
from harness.shown import showable

QUIET_S = 10.0
"""Seconds between plain lines of one task."""


class Reporter(Protocol):
    """A run's progress, as it works."""

    def expect(self, parts: Sequence[WorkItem]) -> None:
        """The run's work items, in its order by variant."""
        ...

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

    def expect(self, parts: Sequence[WorkItem]) -> None:
        del parts

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


class _Left(ProgressColumn):
    """The remaining time of the current task. rich's own uses the last half minute, in which a slow task may not
    advance."""

    def __init__(self, eta: Eta) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._eta = eta

    def render(self, task: Task) -> Text:
        left_s = None if task.finished else self._eta.left().task_s
        return Text("" if left_s is None else f"{duration(left_s)} left", "cyan")


class Live(Progress):
    """Bars for a terminal, and below them the time left of the whole run."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self.eta = Eta(now)
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            _Items(),
            TimeElapsedColumn(),
            _Left(self.eta),
            console=console,
            get_time=now,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if says := _whole(self.eta.left()):
            yield Text(says)


class Bars:
    """rich bars for a terminal: one line a variant and task, with items/s and the time left."""

    def __init__(self, progress: Live) -> None:
        self._progress = progress
        self._current: TaskID | None = None
        self._items = 0

    def expect(self, parts: Sequence[WorkItem]) -> None:
        self._progress.eta.expect(parts)

    def say(self, text: str) -> None:
        self._progress.console.print(showable(text), markup=False, highlight=False)

    def task(self, variant: str, task: str, total: Amount, done: Amount, unit: str) -> None:
        self._items = done.items
        self._progress.eta.begin(variant, task, total, done, unit)
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
            self._progress.eta.advance(amount.work)
            self._progress.update(self._current, advance=amount.work, items=self._items)

    def finish(self) -> None:
        self._progress.eta.finish()
        self._current = None


class Lines:
    """Plain lines for logs and CI: at the start, every `QUIET_S` seconds, and at the end of a task."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console, self._now = console, now
        self._eta = Eta(now)
        self._name, self._unit = "", "items"
        self._total = self._before = self._done = 0
        self._started = self._said = 0.0

    def expect(self, parts: Sequence[WorkItem]) -> None:
        self._eta.expect(parts)

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def task(self, variant: str, task: str, total: Amount, done: Amount, unit: str) -> None:
        self._name, self._unit, self._total = f"{variant} · {task}", unit, total.items
        self._done = self._before = done.items
        self._started = self._said = self._now()
        self._eta.begin(variant, task, total, done, unit)
        already = f", {done.items} already there" if done.items else ""
        self.say(f"{self._name}: {total.items} {unit}{already}")

    def advance(self, amount: Amount) -> None:
        self._done += amount.items
        self._eta.advance(amount.work)
        now = self._now()
        if now - self._said < QUIET_S or self._done >= self._total:
            return
        self._said = now
        rate = (self._done - self._before) / (now - self._started)
        left = self._eta.left()
        words = [f"{self._done}/{self._total}", f"{rate:.1f} {self._unit}/s"]
        words += [] if left.task_s is None else [f"about {duration(left.task_s)} left"]
        whole = _whole(left)
        self.say(f"{self._name}: {', '.join(words)}{whole and '; '}{whole}")

    def finish(self) -> None:
        self._eta.finish()
        took = self._now() - self._started
        new = self._done - self._before
        rate = f", {new / took:.1f} {self._unit}/s" if new and took > 0 else ""
        self.say(f"{self._name}: {self._done}/{self._total} in {duration(took)}{rate}")


def _whole(left: Remaining) -> str:
    """The remaining time of the run, as a phrase; empty where it is unknown or nothing else remains."""
    if left.run_s is None:
        return ""
    return f"whole run: about {duration(left.run_s)} left{', and its timings' if left.untold else ''}"


@contextmanager
def reporter(console: Console) -> Iterator[Reporter]:
    """The reporter that fits the console."""
    if not console.is_terminal:
        yield Lines(console)
        return
    with Live(console) as progress:
        yield Bars(progress)
