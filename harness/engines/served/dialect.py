"""What each kind of model server is asked in its own words, and what they share.

Owns the shape of a dialect, the options of a served variant and the text way for servers that take no token ids.
A dialect answers one request at a time; the engine decides how many run at once.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.engines.protocol import GenerateRequest, Generation, LoadSpec
from harness.engines.registry import SERVERS
from harness.engines.served.http import Http, Reply, ServerRefusedError, shown
from harness.errors import EngineError

PROBE_TEXT = "The capital of France is Paris and"
PROBE_IDS = (100, 101, 102, 103, 104)
"""Asked when the server cannot say how it splits a text. In every vocabulary seen these are plain pieces."""
FILLER_TRIES = 20
PLAIN_IDS = (300, 1000)
FILLER = ("river", "window", "seven", "green", "paper", "often", "table", "music", "north", "garden", "slow", "bread")


@dataclass(frozen=True, kw_only=True)
class Options:
    """`spec.options`, checked."""

    model: str | None = None
    key: str | None = field(default=None, repr=False)
    server: str = "auto"
    concurrency: int = 4
    timeout_s: float = 120.0
    retries: int = 4
    top_logprobs: int | None = None

    @classmethod
    def read(cls, spec: LoadSpec) -> Options:
        """Raises `EngineError` for an unknown key, a wrong value or a key variable that is not set."""
        given = dict(spec.options or {})
        known = ("model", "api_key_env", "server", "concurrency", "timeout_s", "retries", "top_logprobs")
        for name in given:
            if name not in known:
                says = f"unknown option {name!r} of a served model; known: {', '.join(known)}"
                raise EngineError(says, about=spec.variant)
        server = given.get("server") or "auto"
        if server not in SERVERS:
            raise EngineError(f"server: expected one of {', '.join(SERVERS)}, got {server!r}", about=spec.variant)
        top = given.get("top_logprobs")
        return cls(
            model=None if given.get("model") is None else str(given["model"]),
            key=_key(spec.variant, given.get("api_key_env")),
            server=str(server),
            concurrency=int(_number(spec.variant, "concurrency", given.get("concurrency", 4), 1)),
            timeout_s=_number(spec.variant, "timeout_s", given.get("timeout_s", 120.0), 0.001),
            retries=int(_number(spec.variant, "retries", given.get("retries", 4), 0)),
            top_logprobs=None if top is None else int(_number(spec.variant, "top_logprobs", top, 1)),
        )


def _key(variant: str, name: object) -> str | None:
    if name is None:
        return None
    value = os.environ.get(str(name), "").strip()
    if not value:
        says = f"the environment variable {name!r} (api_key_env) is not set; put the key in it"
        raise EngineError(says, about=variant)
    odd = next((place for place, each in enumerate(value) if not "!" <= each <= "~"), None)
    if odd is not None:
        raise EngineError(
            f"the environment variable {name!r} (api_key_env) holds what no key can be: its character {odd + 1} is a "
            "blank, a line break or not ASCII; put the key alone in it",
            about=variant,
        )
    return value


def _number(variant: str, name: str, value: object, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
        raise EngineError(f"{name}: expected a number of {least:g} or more, got {value!r}", about=variant)
    return value


@dataclass(frozen=True, kw_only=True)
class About:
    """What the server says of itself. Nothing of it was inspected."""

    model: str
    server: str
    version: str | None = None
    architecture: str = "unknown"
    model_type: str = "unknown"
    parameters: int = 0
    vocabulary: int = 0
    context_length: int | None = None
    weights: str | None = None
    """The file, folder or commit of the weights."""
    notes: tuple[str, ...] = ()


def said(page: Reply | None, *keys: str) -> str | None:
    """Texts of a page, those that are there; None for no page. A key of another type says nothing here."""
    found = [] if page is None else [page.get(key) for key in keys]
    return " ".join(each.value for each in found if each is not None and isinstance(each.value, str)) or None


@dataclass(frozen=True, kw_only=True)
class TokenScore:
    """Log-probability of one given token, and whether it was the likeliest."""

    log_prob: float
    top: bool


class Dialect(Protocol):
    """One kind of server. Everything raises `EngineError`; no answer is half filled."""

    def about(self) -> About: ...

    def notes(self) -> tuple[str, ...]:
        """How prompts are sent and scored, with the reasons."""
        ...

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]: ...

    def score(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[TokenScore, ...]:
        """One entry per token of the continuation."""
        ...

    def score_windows(self, tokens: Sequence[int], scored_from: int) -> tuple[float, ...]:
        """Log-probabilities of `tokens[scored_from:]`."""
        ...

    def generate(self, request: GenerateRequest) -> Generation: ...

    def filler(self, count: int, source: random.Random) -> tuple[int, ...]:
        """A prompt of exactly `count` tokens that the server can be sent, its content without meaning."""
        ...

    def stream(self, prompt: Sequence[int], new_tokens: int) -> Iterator[tuple[float, int]]:
        """(second, tokens so far) at every chunk, until exactly `new_tokens`."""
        ...


def tokenized(http: Http, model: str, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
    """/tokenize as vLLM and SGLang have it. llama.cpp's page of that name ignores these fields and answers nothing."""
    body = {"model": model, "prompt": text, "add_special_tokens": add_special_tokens}
    try:
        reply = http.post("/tokenize", body)
    except ServerRefusedError as error:
        raise EngineError(f"{http.root}: this server has no /tokenize ({error})") from error
    tokens = reply["tokens"].integers()
    if len(tokens) != reply["count"].integer() or (text and not tokens):
        raise reply.wrong("as many tokens as counted", "this server's /tokenize is of another kind")
    return tokens


def random_ids(count: int, source: random.Random, vocabulary: int) -> tuple[int, ...]:
    """Token ids past the special ones; low ones where the size of the vocabulary is not known."""
    low, high = PLAIN_IDS
    return tuple(source.randrange(low, max(vocabulary, high)) for _ in range(count))


def cut(text: str, until: Sequence[str]) -> str:
    """The text before the first stop string, as lm-eval cuts it."""
    for stop in until:
        if stop:
            text = text.split(stop)[0]
    return text


def likeliest(own: float, shown_top: float) -> bool:
    """Whether a token's log-prob is that of the likeliest one; servers round what they print."""
    return own >= shown_top - 1e-6


def finished(*, text: str, whole: str, tokens: Sequence[int], by_length: bool) -> Generation:
    """A generation from what came and what is left of it."""
    stopped = text != whole or not by_length
    return Generation(tokens=tuple(tokens), text=text, finish="stop" if stopped else "length")


class Detokenizer:
    """The variant's tokenizer on this side, for servers that take only text."""

    def __init__(self, spec: LoadSpec) -> None:
        self._place = spec.tokenizer
        self._tokenizer: Any = None

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        return tuple(self._loaded().encode(text, add_special_tokens=add_special_tokens).ids)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of these tokens; an `EngineError` where reading it back gives other tokens."""
        text = self._plain(tokens)
        back = self.encode(text, add_special_tokens=False)
        if back != tuple(tokens):
            raise EngineError(
                f"this server takes only text, and {shown(repr(text))} is read back as other tokens than planned; "
                "serve the model with a server that takes token ids (llama.cpp, vLLM or SGLang)"
            )
        return text

    def filler(self, count: int, source: random.Random) -> tuple[int, ...]:
        """Plain words cut to exactly `count` tokens that are read back as themselves."""
        for _ in range(FILLER_TRIES):
            words = " ".join(source.choice(FILLER) for _ in range(count))
            tokens = self.encode(words, add_special_tokens=False)[:count]
            if len(tokens) == count and self.encode(self._plain(tokens), add_special_tokens=False) == tokens:
                return tokens
        raise EngineError(f"no text of exactly {count} tokens was found for timing; serve with a server that takes ids")

    def _plain(self, tokens: Sequence[int]) -> str:
        return str(self._loaded().decode(list(tokens), skip_special_tokens=False))

    def _loaded(self) -> Any:
        if self._tokenizer is not None:
            return self._tokenizer
        need = "this server takes only text and the plan has token ids"
        if self._place is None:
            raise EngineError(f"{need}: no tokenizer was given to turn them into text; set tokenizer to its folder")
        file = Path(self._place) / "tokenizer.json"
        if not file.is_file():
            raise EngineError(f"{need}: expected {file}, found nothing; set tokenizer to a folder with tokenizer.json")
        try:
            import tokenizers
        except ImportError as error:
            raise EngineError(f"{need}: turning them into text needs tokenizers: pip install tokenizers") from error
        self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        return self._tokenizer
