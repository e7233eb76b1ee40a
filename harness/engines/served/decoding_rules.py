"""The suite's decoding rules on servers: what each takes in its own words, and answers that end where the rules say.

A server ends an answer at the end tokens of its own file. Where it shows the tokens, an answer that went on behind one
of the rules' end tokens is cut there, and one that it ended by itself is gone on with. What a kind of server cannot
follow is refused by name before anything is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.engines.decoding import Decoding, refusal, unable, until_end
from harness.engines.protocol import GenerateRequest, Generation
from harness.engines.served.dialect import cut, finished
from harness.errors import EngineError

LLAMACPP = frozenset({"repetition_penalty", "suppress_tokens"})
SGLANG = frozenset({"min_new_tokens"})
TGI = frozenset({"repetition_penalty"})
NONE: frozenset[str] = frozenset()
Ended = Literal["end", "stop", "length"]
"""By an end token, by a stop string, by the number of tokens asked for."""


def check_rules(decoding: Decoding | None, able: frozenset[str], server: str, root: str) -> None:
    """Raises `EngineError` for rules that the server cannot follow."""
    if decoding is not None and (names := unable(decoding, able)):
        raise EngineError(f"{root}: {refusal(names, server)}")


def llamacpp_settings(request: GenerateRequest) -> dict[str, object]:
    """In the words of llama.cpp's server. Its own defaults may have been changed when it was started."""
    decoding = request.decoding
    if decoding is None:
        return {}
    return {
        "repeat_penalty": decoding.repetition_penalty,
        "repeat_last_n": len(request.prompt) + request.max_new_tokens,  # all of it; not every version takes -1
        **dict.fromkeys(("presence_penalty", "frequency_penalty", "dry_multiplier", "mirostat"), 0),
        "logit_bias": [[token, False] for token in decoding.suppress_tokens],
        **({"samplers": ["penalties", "temperature"]} if request.temperature <= 0 else {}),
    }


def sglang_settings(decoding: Decoding | None) -> dict[str, object]:
    """In SGLang's words. With `ignore_eos` it would ignore these end tokens too."""
    if decoding is None:
        return {}
    return {
        "repetition_penalty": 1.0,
        "min_new_tokens": decoding.min_new_tokens,
        "stop_token_ids": list(decoding.end_tokens),
    }


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What a server answered once."""

    text: str
    tokens: tuple[int, ...]
    """With the end token, where one ended it."""
    ended: Ended


def answer(request: GenerateRequest, ask: Callable[[Sequence[int], int], Piece], root: str) -> Generation:
    """The request's answer under its rules. `ask` takes a prompt and how many tokens may follow."""
    until = [stop for stop in request.until if stop]
    prompt, left = tuple(request.prompt), request.max_new_tokens
    text, tokens = "", tuple[int, ...]()
    while True:
        piece = ask(prompt, left)
        found, ended = _ruled(request.decoding, piece)
        own = piece.tokens[:found]
        if ended == "end" and (found, piece.ended) != (len(piece.tokens) - 1, "end") and found < len(piece.tokens):
            # The server took the end for a token like others: its text holds what does not belong to the answer.
            piece = ask(prompt, found) if found else Piece(text="", tokens=(), ended="end")
        text, tokens, left = text + piece.text, (*tokens, *own), left - len(own)
        if ended != "on" or left <= 0:
            whole = text
            return finished(text=cut(whole, until), whole=whole, tokens=tokens, by_length=ended in ("length", "on"))
        if not own:
            raise EngineError(f"{root}: the server ended an answer and does not say with which token")
        prompt = (*prompt, *own)


def _ruled(decoding: Decoding | None, piece: Piece) -> tuple[int, str]:
    """Tokens of the piece that belong to the answer, and how it ended; `on` where the rules would go on."""
    if decoding is None:
        return len(piece.tokens) - (piece.ended == "end" and bool(piece.tokens)), piece.ended
    place = until_end(piece.tokens, decoding)
    if place < len(piece.tokens):
        return place, "end"
    return place, "on" if piece.ended == "end" else piece.ended
