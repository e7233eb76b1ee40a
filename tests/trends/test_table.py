"""History in the terminal: what fits, what is said, and nothing hostile."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from harness.trends import History, Skipped, collect, history_text
from tests.reports.example import HOSTILE
from tests.trends.runs import conditions, run, steps

LEVELS = [0.01] * 12 + [0.04] * 8


def lines(history: History, width: int = 80) -> list[str]:
    return history_text(history, width=width).plain.splitlines()


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("label", ["", "v12", "3f2a9c" * 7])
def test_every_line_fits(width: int, label: str) -> None:
    """At 80 columns too the bounds and the decision are there, and no line is wider than the terminal."""
    found = collect("s", [each.model_copy(update={"label": label}) for each in steps(LEVELS)])
    shown = lines(found, width)
    assert max(cell_len(each) for each in shown) <= width
    (first,) = [each for each in shown if "run-000" in each and "0.90 pp" in each]
    assert "0.40 … 1.40 pp" in first
    assert first.endswith("INCONCLUSIVE")


def test_wide_names_keep_the_columns() -> None:
    """Names of double-width characters are measured as they are shown."""
    found = collect("s", [run(index, label="第一版模型" * 4) for index in range(3)])
    assert max(cell_len(each) for each in lines(found)) <= 80


def test_breaks_and_shifts_stand_before_their_run() -> None:
    """A person reads down and meets the reason before the figure it is about."""
    other = conditions(versions={"torch": "2.13.0"})
    shown = lines(collect("s", [*steps(LEVELS), run(20, both=other)]), 200)
    block = shown[: shown.index("")]
    shift = next(index for index, each in enumerate(block) if "▲ shift: 1.00 pp → 3.99 pp" in each)
    assert "up by 2.99 pp (about 2.76 … 3.22 pp)" in block[shift]
    assert "worse; 12 runs before, 8 from here" in block[shift]
    assert "run-012" in block[shift + 1]
    assert "── series 2: torch 2.12.0 → 2.13.0" in block[-2]
    assert "run-020" in block[-1]
    assert "It changes no verdict and no exit code." in shown[-1]


def test_what_is_outside_is_marked() -> None:
    """Promoted, partial and skipped runs are told apart and explained below."""
    found = collect(
        "s",
        [run(0), run(1, partial=True, limit=50)],
        accepted={("run-000", "int8")},
        skipped=[Skipped(run="run-x", reason="results/verdict.json: damaged")],
    )
    shown = lines(found, 120)
    assert any("run-000" in each and each.endswith("★") for each in shown)
    assert any("run-001" in each and each.endswith("partial") for each in shown)
    assert "★ promoted." in shown
    assert any(each.startswith("partial: made with --limit") for each in shown)
    assert "skipped results/verdict.json: damaged" in shown


def test_the_last_runs_say_that_there_are_more() -> None:
    """What is left out is counted, with the option that shows it."""
    assert any(
        "The last 3 of 20 runs; --last 20 shows all" in each for each in lines(collect("s", steps(LEVELS)).last(3), 200)
    )


def test_hostile_names_are_harmless() -> None:
    """Labels and names with control characters or commands for a CI log are shown, not obeyed."""
    text = "\n".join(lines(collect("s", [run(0, label=HOSTILE), run(1, run=HOSTILE)]), 200))
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "::error" not in text
    assert "##[group]" not in text
