"""Calibration data against evaluation items."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import cast

import pytest

from harness.plan.build import TaskPlan
from harness.plan.tokens import Encoded
from harness.quantize.overlap import distance, overlap_with

LONG = "the quick brown fox jumps over the lazy dog while seven wizards quietly brew strong tea"


def plan(*texts: str) -> TaskPlan:
    encoded = [Encoded(item=str(n), text=text, ids=(), add_special_tokens=False) for n, text in enumerate(texts)]
    return cast(TaskPlan, SimpleNamespace(name="t", texts=tuple(encoded)))


def test_equal_texts_are_found_whatever_their_dress() -> None:
    """Case, white space and compatibility characters do not hide a copy."""
    found = overlap_with(plan(LONG, "something else entirely is asked here"), [LONG.upper().replace(" ", "  \n")])
    assert (found.exact, found.exact_items, found.copied) == (1, ("0",), 0)


def test_long_passages_count_as_copied() -> None:
    """Thirteen words in a row; eight for a short item; fewer do not."""
    text = f"before {LONG} after"
    short = "the quick brown fox jumps over the lazy dog"
    found = overlap_with(plan(f"new start {LONG}", short, "the quick brown fox"), [text])
    assert (found.exact, found.copied, found.copied_items) == (0, 2, ("0", "1"))


def test_short_answers_are_no_copies() -> None:
    """`yes` in both says nothing."""
    assert overlap_with(plan("yes"), ["yes"]).exact == 0


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (["a b"], ["b a"], 0.0),
        (["a"], ["b"], 1.0),
        (["a a b b"], ["a a a b"], math.sqrt(0.04879)),
    ],
)
def test_distance(one: list[str], other: list[str], expected: float) -> None:
    """Jensen-Shannon distance to base 2: by hand, and 0 and 1 at the ends."""
    assert distance(one, other) == pytest.approx(expected, abs=1e-3)


def test_an_empty_side_is_far_away() -> None:
    """Nothing has nothing in common."""
    assert distance([], ["a"]) == 1.0
