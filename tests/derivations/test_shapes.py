"""The sheet of a derivation: a formula shows the numbers that stand above it, and no others."""

from __future__ import annotations

import math

import pytest

from harness.derivations.shapes import Sheet, Step


def steps(sheet: Sheet) -> list[Step]:
    return [step for section in sheet.derivation("by hand").sections for step in section.steps]


def test_numbers_come_from_the_steps_above() -> None:
    """In symbols and with the numbers put in; a negative one in brackets; the latest of a symbol that stands twice."""
    sheet = Sheet("Counted")
    sheet.counted("b", 3, "lost")
    sheet.counted("c", 5, "won")
    sheet.step("d", "difference", "{b} − {c}", -2)
    sheet.section("Later")
    sheet.counted("b", 4, "lost since")
    sheet.step("s", "", "{d}² + {b}", 8)
    first, _, third, _, last = steps(sheet)
    assert (first.formula, first.numbers) == ("", "")
    assert (third.formula, third.numbers, third.value) == ("b − c", "3 − 5", -2)
    assert (last.formula, last.numbers) == ("d² + b", "(−2)² + 4")
    assert [section.title for section in sheet.derivation("").sections] == ["Counted", "Later"]


def test_a_number_that_stands_nowhere_is_an_error() -> None:
    """A formula cannot show a number that the reader was not given, unless it is said to be known."""
    sheet = Sheet("Counted", alpha=0.05)
    with pytest.raises(KeyError, match="n"):
        sheet.step("x", "", "{n} · {alpha}", 5)
    sheet.step("x", "", "{n} · {alpha}", 5, n=100)
    assert steps(sheet)[0].numbers == "100 · 0.05"


def test_infinite_values_are_none() -> None:
    """They are no JSON; later formulas still say them."""
    sheet = Sheet("Counted")
    sheet.counted("U", math.inf, "no bound")
    sheet.step("V", "", "−{U}", -math.inf)
    assert [(step.value, step.numbers) for step in steps(sheet)] == [(None, ""), (None, "−∞")]
