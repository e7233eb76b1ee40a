"""What a run says while it works."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.runner.eta import ITEMS, PAIRS, Amount, WorkItem
from harness.runner.progress import Bars, Lines, Live, Reporter, reporter
from tests.runner.test_eta import Clock


def amount(items: int, work: float) -> Amount:
    return Amount(items=items, work=work)


def test_time_left_goes_by_the_work() -> None:
    """The longest items come first: a tenth of the items, half of the work, so as long again."""
    now, out = Clock(), io.StringIO()
    lines = Lines(Console(file=out, width=200), now)
    lines.task("nf4", "ask", amount(110, 1100.0), amount(10, 100.0), "items")
    now.at = 20.0
    lines.advance(amount(10, 500.0))
    now.at = 41.0
    lines.advance(amount(90, 500.0))
    lines.finish()
    assert out.getvalue().splitlines() == [
        "nf4 · ask: 110 items, 10 already there",
        "nf4 · ask: 20/110, 0.5 items/s, about 20 s left",
        "nf4 · ask: 110/110 in 41 s, 2.4 items/s",
    ]


PARTS = [
    WorkItem(variant="fp32", task="ask", unit=ITEMS, work=1000.0),
    WorkItem(variant="fp32", task="say", unit=ITEMS, work=9000.0),
    WorkItem(variant="nf4", task="speed", unit=PAIRS, work=11.0),
]


def slow(reporter: Reporter, now: Clock) -> None:
    """A task of which one chunk of 40 s is done."""
    reporter.expect(PARTS)
    reporter.task("fp32", "ask", amount(100, 1000.0), amount(0, 0.0), "items")
    now.at = 40.0
    reporter.advance(amount(5, 100.0))


def test_lines_tell_the_whole_run() -> None:
    """In plain words, and what is not in it."""
    now, out = Clock(), io.StringIO()
    slow(Lines(Console(file=out, width=200), now), now)
    assert out.getvalue().splitlines()[-1] == (
        "fp32 · ask: 5/100, 0.1 items/s, about 6 min 00 s left; whole run: about 1 h 06 min left, and its timings"
    )


def rendered(progress: Live, width: int) -> list[str]:
    """The lines that stand on the terminal now."""
    paper = Console(file=io.StringIO(), width=width, record=True)
    paper.print(progress.get_renderable())
    return paper.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_bars_tell_the_time_left_of_slow_chunks(width: int) -> None:
    """A chunk of 40 s is no reason to say nothing. The whole run has a line of its own, which goes with the work."""
    now, out = Clock(), io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None, legacy_windows=False)
    with Live(console, now) as progress:
        bars = Bars(progress)
        slow(bars, now)
        now.at = 70.0
        bar, whole = rendered(progress, width)
        assert bar.startswith("fp32 · ask ")
        assert "5/100" in bar
        assert bar.rstrip().endswith(" 5 min 30 s left")
        assert whole == "whole run: about 1 h 05 min left, and its timings"
        now.at = 400.0
        bars.advance(amount(95, 900.0))
        bars.finish()
        [bar] = rendered(progress, width)
        assert "100/100 0.2 items/s 0:06:40" in bar
        assert "left" not in bar


def test_a_log_gets_lines_and_a_terminal_bars() -> None:
    """By what the console is."""
    with reporter(Console(file=io.StringIO())) as found:
        assert isinstance(found, Lines)
    with reporter(Console(file=io.StringIO(), force_terminal=True)) as found:
        assert isinstance(found, Bars)
