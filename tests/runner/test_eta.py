"""The time left of a task and of the whole run."""

from __future__ import annotations

import random

import pytest

from harness.runner.eta import ITEMS, PAIRS, Amount, Eta, Remaining, WorkItem


class Clock:
    """Tells the time it is set to."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def part(variant: str, task: str, work: float, unit: str = ITEMS) -> WorkItem:
    return WorkItem(variant=variant, task=task, unit=unit, work=work)


def amount(work: float) -> Amount:
    return Amount(items=round(work), work=work)


class Run:
    """An outlook, and a clock that goes on with the work."""

    def __init__(self, *parts: WorkItem) -> None:
        self.clock = Clock()
        self.eta = Eta(self.clock)
        self.eta.expect(parts)

    def begin(self, variant: str, task: str, work: float, done: float = 0.0, unit: str = ITEMS) -> None:
        self.eta.begin(variant, task, amount(work), amount(done), unit)

    def work(self, amount: float, seconds: float) -> Remaining:
        self.clock.at += seconds
        self.eta.advance(amount)
        return self.eta.left()

    def whole(self, variant: str, task: str, work: float, seconds: float, unit: str = ITEMS) -> None:
        self.begin(variant, task, work, unit=unit)
        self.work(work, seconds)
        self.eta.finish()


@pytest.mark.parametrize("chunk_s", [0.01, 5.0, 40.0, 3600.0])
def test_slow_chunks_have_a_time_left_too(chunk_s: float) -> None:
    """From the first chunk on, however long one takes; between chunks it runs down, and not below nothing."""
    run = Run(part("full", "ask", 1000))
    run.begin("full", "ask", 1000)
    assert run.eta.left() == Remaining()
    for number in range(1, 6):
        left = run.work(50, chunk_s)
        assert left.task_s == pytest.approx((20 - number) * chunk_s)
        assert left.run_s is None  # nothing comes after it
    run.clock.at += chunk_s / 2
    assert run.eta.left().task_s == pytest.approx(14.5 * chunk_s)
    run.clock.at += 99 * chunk_s
    assert run.eta.left().task_s == 0


def test_what_was_there_before_took_no_time() -> None:
    """A resumed task goes by the pace of what is done now."""
    run = Run()
    run.begin("full", "ask", 1100, done=100)
    assert run.work(500, 20.0) == Remaining(task_s=20.0)


def test_the_whole_run_goes_by_tokens() -> None:
    """Other tasks at the pace of what was done, other variants as fast as this one, until they are known."""
    run = Run(part("full", "ask", 100), part("full", "say", 300), part("small", "ask", 100), part("small", "say", 300))
    run.begin("full", "ask", 100)
    assert run.work(50, 10.0) == Remaining(task_s=10.0, run_s=10.0 + 60 + 20 + 60)
    run.work(50, 10.0)
    run.eta.finish()
    assert run.eta.left() == Remaining()
    run.begin("full", "say", 300)
    assert run.eta.left() == Remaining(task_s=60.0, run_s=60.0 + 20 + 60)  # before it has a pace of its own
    assert run.work(150, 300.0) == Remaining(task_s=300.0, run_s=300.0 + 20 + 600)  # generation is slower, for all
    run.work(150, 300.0)
    run.begin("small", "ask", 100)
    assert run.work(50, 5.0) == Remaining(task_s=5.0, run_s=5.0 + 300)  # twice as fast, so in the other task too
    run.work(50, 5.0)
    run.begin("small", "say", 300)
    assert run.eta.left() == Remaining(task_s=300.0)


def test_timings_are_told_once_one_was_made() -> None:
    """A pair says nothing about items; until a candidate was timed, that there are timings is said."""
    run = Run(part("a", "ask", 10), part("a", "speed", 4, PAIRS), part("b", "ask", 10), part("b", "speed", 4, PAIRS))
    run.begin("a", "ask", 10)
    assert run.work(5, 1.0) == Remaining(task_s=1.0, run_s=1.0 + 2, untold=True)
    run.work(5, 1.0)
    run.whole("a", "speed", 4, 40.0, PAIRS)
    run.begin("b", "ask", 10)
    assert run.work(5, 2.0) == Remaining(task_s=2.0, run_s=2.0 + 80)  # b takes twice as long as a, so here too


def test_what_is_left_out_is_forgotten() -> None:
    """A variant that was stopped or gave up has nothing to do any more once the next begins."""
    parts = [part("full", "ask", 10), *(part("a", name, 1000) for name in ("ask", "say")), part("b", "ask", 10)]
    run = Run(*parts, part("b", "say", 10))
    run.whole("full", "ask", 10, 10.0)
    run.whole("a", "ask", 10, 10.0)
    run.begin("b", "ask", 10)
    assert run.work(5, 5.0) == Remaining(task_s=5.0, run_s=15.0)


def test_a_task_that_is_asked_again_counts_twice() -> None:
    """The baseline's second pass has its name and its own length."""
    run = Run(part("full", "ask", 100), part("full", "ask", 20))
    run.begin("full", "ask", 100)
    assert run.work(50, 50.0) == Remaining(task_s=50.0, run_s=70.0)
    run.work(50, 50.0)
    run.begin("full", "ask", 20)
    assert run.eta.left() == Remaining(task_s=20.0)


def test_at_one_pace_the_estimate_is_exact() -> None:
    """Whatever the order of tasks and sizes: what is left is what it then takes."""
    source = random.Random(1)
    for _ in range(50):
        parts = [
            part(variant, task, source.randrange(1, 500))
            for variant in "abc"
            for task in source.sample(["ask", "say", "read"], 3)
        ]
        run, pace = Run(*parts), source.uniform(0.001, 30)
        ends = pace * sum(each.work for each in parts)
        for each in parts:
            run.begin(each.variant, each.task, each.work)
            left = run.work(each.work / 2, pace * each.work / 2)
            whole = left.task_s if left.run_s is None else left.run_s
            assert whole == pytest.approx(ends - run.clock.at)
            run.work(each.work / 2, pace * each.work / 2)
            run.eta.finish()
