"""Tokens as people read them."""

from __future__ import annotations

import pytest

from harness.engines.scripted import ScriptedTokenizer
from harness.planning.token_texts import BEFORE, TokenTexts
from harness.planning.tokens import Encoded, HfTokenizer, Tokenizer

TEXT = "What is the capital of France, where does its river end? Paris é 日本 😀\nx"


def texts_of(tokenizer: Tokenizer, text: str) -> tuple[TokenTexts, Encoded]:
    ids = tokenizer.encode(text, add_special_tokens=False)
    encoded = Encoded(item="a", text=text, ids=ids, add_special_tokens=False)
    return TokenTexts(tokenizer, [encoded]), encoded


def test_every_token_has_its_place_in_the_text(bos_tokenizer: HfTokenizer) -> None:
    """What stands before it and what it is stand so in the text; a part of a character is shown as the whole one."""
    texts, encoded = texts_of(bos_tokenizer, TEXT)
    reached = 0
    for place in range(len(encoded.ids)):
        before, token = texts.context(0, place)
        assert len(before) <= BEFORE
        assert token
        assert TEXT.find(before + token) >= 0
        reached = max(reached, TEXT.find(before + token) + len(before + token))
    assert reached == len(TEXT)


def test_one_id_alone(bos_tokenizer: HfTokenizer) -> None:
    """Its text with its space; part of a character and what is no id of the tokenizer by number."""
    texts, _ = texts_of(bos_tokenizer, TEXT)
    (river, *_) = bos_tokenizer.encode(" river", add_special_tokens=False)
    assert texts.token(river).startswith(" ")
    part = bos_tokenizer.encode("日", add_special_tokens=False)[0]
    assert texts.token(part) == f"⟨token {part}⟩"
    assert texts.token(2**31) == f"⟨token {2**31}⟩"


@pytest.mark.parametrize("text", ["plain words and more of them", "né 日本"])
def test_a_tokenizer_that_says_no_places(text: str) -> None:
    """By decoding what stands before."""
    texts, encoded = texts_of(ScriptedTokenizer(), text)
    before, token = texts.context(0, len(encoded.ids) - 1)
    assert token == text[-1] or token.startswith("⟨token")
    assert before == text.encode()[:-1].decode(errors="replace")[-BEFORE:]
