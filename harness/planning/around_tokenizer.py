"""Tokenizers around another one: they change a part of what it does, and leave the rest to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.engines.protocol import Pieces
from harness.planning.tokens import Tokenizer


class AroundTokenizer:
    """A tokenizer around another one, which does all the work; subclasses change a part."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.identity = tokenizer.identity
        self.prefix_token = tokenizer.prefix_token
        self.prefix_text = tokenizer.prefix_text
        self.eos_text = tokenizer.eos_text
        self.leading = tokenizer.leading
        self.trailing = tokenizer.trailing
        self.unknown = tokenizer.unknown

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        return self._tokenizer.encode(text, add_special_tokens=add_special_tokens)

    def pieces(self, text: str) -> Pieces:
        return self._tokenizer.pieces(text)

    def decode(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(tokens)

    def chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
        return self._tokenizer.chat(messages, add_generation_prompt=add_generation_prompt)

    def moves(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> bool:
        return self._tokenizer.moves(messages, add_generation_prompt=add_generation_prompt)


class Remembering(AroundTokenizer):
    """Encodes equal texts once: the options of an item share a long context."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self._known: dict[str, Pieces] = {}

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        own = self.pieces(text).ids
        return self.leading + own + self.trailing if add_special_tokens else own

    def pieces(self, text: str) -> Pieces:
        if text not in self._known:
            self._known[text] = self._tokenizer.pieces(text)
        return self._known[text]
