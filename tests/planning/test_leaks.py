"""References that their own prompts give away, and in which words the place is told."""

from __future__ import annotations

import pytest

from harness.planning.leaks import Shown, Side, Spot, leak_of


@pytest.mark.parametrize(
    ("spot", "words"),
    [
        (Spot(Side.BEGINNING), "at the beginning"),
        (Spot(Side.END), "at the end"),
        (Spot(Side.END, "\n"), "at the end, before '\\n'"),
        (Spot(Side.INSIDE_THE_END, "is … ."), "at the end, between 'is … .'"),
        (Spot(Side.BEFORE, " is it"), "before ' is it'"),
        (Spot(Side.BEHIND, "swer: "), "behind 'swer: '"),
    ],
)
def test_a_place_in_words(spot: Spot, words: str) -> None:
    """The side, and the characters beside it where there are any."""
    assert str(spot) == words


def shown(number: int, prompt: str, *, others: tuple[str, ...] = ()) -> Shown:
    return Shown(item=f"q{number}", prompt=prompt, references=(f"word{number}",), others=others, own=())


def test_nearly_every_prompt_with_its_answer_in_one_place() -> None:
    """Nine of ten behind the same words are a leak, eight of ten are none; the first three are named."""
    told = [shown(n, f"Hint: word{n} is it. Question {n}?") for n in range(9)]
    leak = leak_of([*told, shown(9, "Hint: none. Question 9?")])
    assert leak is not None
    assert (leak.items, leak.of, leak.first) == (9, 10, ("q0", "q1", "q2"))
    assert leak.where in (str(Spot(Side.BEHIND, "Hint: ")), str(Spot(Side.BEFORE, " is it")))
    assert leak_of([*told[:8], shown(8, "Question 8?"), shown(9, "Question 9?")]) is None


def test_a_list_of_options_gives_nothing_away() -> None:
    """Labels that every prompt lists do not tell which one is right."""
    labels = tuple(f"word{n}" for n in range(10))
    listed = f"One of {', '.join(labels)}. Text"
    assert leak_of([shown(n, f"{listed} {n}?", others=labels[:n] + labels[n + 1 :]) for n in range(10)]) is None


def test_one_item_alone_is_no_pattern() -> None:
    """A place needs several items to be one."""
    assert leak_of([shown(0, "Hint: word0. Question?")]) is None
