"""Tokens of planned texts as people read them: what a token stands for, what stands before it, and what an id says.

For reports alone: nothing is scored or hashed from it. Text is given as it is; a report makes it safe.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.planning.tokens import Encoded, Tokenizer

BEFORE = 40
"""Characters before a token that are kept."""
LONGEST = 60
"""Characters of a token that are kept: an unknown word is one token, however long."""
REPLACEMENT = "\ufffd"
"""What decoders write for bytes that are no whole character."""


class TokenTexts:
    """The tokens of some texts, by the tokenizer that the plan was made with."""

    def __init__(self, tokenizer: Tokenizer, texts: Sequence[Encoded]) -> None:
        self._tokenizer, self._texts = tokenizer, texts

    def context(self, text: int, place: int) -> tuple[str, str]:
        """What stands before a token of the text, and what the token stands for: a part of a character is shown as the
        whole one."""
        encoded = self._texts[text]
        found = self._tokenizer.pieces(encoded.text)
        if found.spans is not None and found.ids == encoded.ids:
            start, end = found.spans[place]
            if start < end:
                return encoded.text[max(0, start - BEFORE) : start], _cut(encoded.text[start:end])
        before = self._tokenizer.decode(encoded.ids[max(0, place - BEFORE) : place])
        return before[-BEFORE:], self.token(encoded.ids[place])

    def token(self, token: int) -> str:
        """The text of one id alone; its number where it is part of a character, or none of the tokenizer's."""
        text = self._tokenizer.decode((token,))
        return _cut(text) if text and REPLACEMENT not in text else f"⟨token {token}⟩"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
