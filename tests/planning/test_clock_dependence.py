"""Prompts that depend on the clock are noticed, and a tokenizer around another changes nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from harness.engines.scripted import ScriptedTokenizer
from harness.planning.around_tokenizer import AroundTokenizer, Remembering
from harness.planning.clock_dependence import Watching


class Dated(AroundTokenizer):
    """One whose chat template writes the time."""

    def moves(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> bool:
        return messages[0]["content"] == "when"


class Refusing(Dated):
    def chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
        raise ValueError("takes no such turn")


def turn(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_one_prompt_that_moves_is_remembered() -> None:
    """Before it nothing is said; from it on it is so."""
    watching = Watching(Dated(ScriptedTokenizer()))
    watching.chat(turn("what"))
    assert not watching.by_the_clock
    watching.chat(turn("when"))
    watching.chat(turn("what"))
    assert watching.by_the_clock


def test_a_prompt_that_cannot_be_made_says_nothing_of_the_clock() -> None:
    """What the template refuses is no prompt of the task."""
    watching = Watching(Refusing(ScriptedTokenizer()))
    with pytest.raises(ValueError, match="takes no such turn"):
        watching.chat(turn("when"))
    assert not watching.by_the_clock


@pytest.mark.parametrize("wrap", [AroundTokenizer, Watching, Remembering])
def test_around_is_the_same_tokenizer(wrap: type[AroundTokenizer]) -> None:
    """Identity, added tokens, ids, pieces and chat are those of the one inside."""
    inside = ScriptedTokenizer()
    outside = wrap(inside)
    for name in ("identity", "prefix_token", "prefix_text", "eos_text", "leading", "trailing", "unknown"):
        assert getattr(outside, name) == getattr(inside, name)
    for special in (False, True):
        assert outside.encode("a b c", add_special_tokens=special) == inside.encode("a b c", add_special_tokens=special)
    assert outside.pieces("a b c") == inside.pieces("a b c")
    assert outside.chat(turn("what")) == inside.chat(turn("what"))
