"""Calibration data against evaluation items."""

from __future__ import annotations

import math
import unicodedata
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import Encoded
from harness.quantization.overlap import _grams, _units, _words, distance, overlap_with

LONG = "the quick brown fox jumps over the lazy dog while seven wizards quietly brew strong tea"


CHINESE = "早上七点我从家里出发,先坐地铁到市中心,再走十分钟去图书馆还书,中午和朋友一起吃面。"
JAPANESE = "図書館は月曜日が休みなので、火曜日の朝に本を返しに行きました。"
THAI = "วันนี้อากาศดีมากเราจึงเดินไปตลาดด้วยกัน"


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


@pytest.mark.parametrize(
    "text", ["yes", "in the evening", "internationalisation of standards", "北京", "北京大学图书馆"]
)
def test_short_answers_are_no_copies(text: str) -> None:
    """`yes` in both says nothing; nor do three words, however long, or seven characters."""
    assert overlap_with(plan(text), [text]).exact == 0


@pytest.mark.parametrize("text", ["it rains every day", "a b c d", "北京大学的图书馆", CHINESE, JAPANESE, THAI])
def test_equal_texts_are_found_with_and_without_spaces(text: str) -> None:
    """Four words, or eight characters where words are not set apart."""
    found = overlap_with(plan(text, "something else entirely is asked here"), [text])
    assert (found.exact, found.exact_items) == (1, ("0",))


def test_passages_without_spaces_count_as_copied() -> None:
    """26 characters in a row, 16 for a short item; one less does not, wherever the passage starts."""
    known = [f"前言:{CHINESE}完"]
    passage = CHINESE.replace(",", "").replace("。", "")
    known_passage = [f"前言{passage}完"]
    long, short = passage[3:29], passage[5:21]
    other = "别的内容完全没有关系它只是用来把题目写得更长一些而已请看"
    asked = (f"{other[:20]}{long}{other[20:]}", f"{other[:20]}{long[:-1]}{other[20:]}", short, short[:-1])
    found = overlap_with(plan(*asked), known_passage)
    assert (found.exact, found.copied_items) == (0, ("0", "2"))
    assert overlap_with(plan(f"请回答:{CHINESE}"), known).copied == 1


def test_distance_without_spaces() -> None:
    """Characters are counted, so that the same subject in other sentences is nearer than another subject."""
    near = distance(["今天北京的天气很好"], ["北京今天的天气不好"])
    assert 0 < near < distance(["今天北京的天气很好"], ["猫在桌子上睡觉"]) == 1


@given(st.lists(st.text("abc,.-'é ", min_size=1), min_size=1, max_size=3))
def test_words_with_spaces_are_what_spaces_part(texts: list[str]) -> None:
    """Nothing changes for scripts with spaces: units are words, each of length 1, and grams are words in a row."""
    for text in texts:
        words = unicodedata.normalize("NFKC", text).lower().split()
        assert _units(text) == words
        assert _words(words) == len(words)
        assert list(_grams(words, 3)) == [" ".join(words[at : at + 3]) for at in range(len(words) - 2)]


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
