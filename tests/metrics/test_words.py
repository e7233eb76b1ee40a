"""Metrics of generated text that are ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.words import contains, f1, normal_words


def test_normalisation_is_squads() -> None:
    """Lower case, no punctuation, no articles, single spaces."""
    assert normal_words("The  U.S. Army, an army!") == ["us", "army", "army"]


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        ("It is Paris, of course.", "Paris", 1.0),
        ("It is parish", "Paris", 0.0),
        ("new york is big", "New York", 1.0),
        ("york new", "New York", 0.0),
        ("anything", "the", 0.0),
    ],
)
def test_contains_looks_for_whole_words_in_one_run(answer: str, reference: str, value: float) -> None:
    """A reference inside a longer word, or in another order, is not contained."""
    assert contains(answer, reference) == value


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        ("red green blue", "green red", 2 * (2 / 3) * 1 / (2 / 3 + 1)),
        ("red red", "red", 2 * 0.5 * 1 / 1.5),
        ("", "red", 0.0),
        ("the", "a", 0.0),
        ("", "the", 0.0),
        ("red", "blue", 0.0),
    ],
)
def test_f1_is_the_harmonic_mean_of_word_precision_and_recall(answer: str, reference: str, value: float) -> None:
    """Computed by hand from precision and recall, repeats counted; an article that stands alone is a word."""
    assert f1(answer, reference) == pytest.approx(value)


@given(st.text(max_size=40), st.text(max_size=40))
def test_f1_is_symmetric_and_a_fraction(one: str, other: str) -> None:
    """Swapping answer and reference swaps precision and recall; a text agrees fully with itself."""
    assert f1(one, other) == f1(other, one)
    assert 0 <= f1(one, other) <= 1
    assert f1(one, one) == 1
