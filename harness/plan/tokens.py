"""The baseline's tokenizer, used once for everybody, with lm-eval's rules for pairs, prefixes and windows.

The rules are those of lm-eval 0.4.13 (`api/model.py: _encode_pair`, `models/huggingface.py: tok_encode`,
`utils.py: get_rolling_token_windows`), so that scores equal its `hf` model's; only silent truncation is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.engines.seam import Window
from harness.errors import EngineError


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A text as planned, for checking another tokenizer against it."""

    item: str
    text: str
    ids: tuple[int, ...]
    add_special_tokens: bool


class Tokenizer(Protocol):
    """What the plan needs of a tokenizer."""

    identity: str
    """Hash of everything that decides how text becomes ids, chat template included."""
    prefix_token: int
    """What stands before a text with no context: BOS, or EOS where there is no BOS."""
    prefix_text: str
    eos_text: str | None

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]: ...

    def chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str: ...


class HfTokenizer:
    """A Hugging Face tokenizer from a folder or a hub id."""

    def __init__(self, path: str, *, revision: str | None = None, trust_remote_code: bool = False) -> None:
        import transformers

        try:
            loaded: Any = transformers.AutoTokenizer.from_pretrained(
                path, revision=revision, trust_remote_code=trust_remote_code
            )
        except Exception as error:
            raise EngineError(f"{path}: no tokenizer could be loaded: {str(error).splitlines()[0]}") from error
        self._tokenizer = loaded
        prefix = loaded.bos_token_id if loaded.bos_token_id is not None else loaded.eos_token_id
        if prefix is None:
            raise EngineError(f"{path}: the tokenizer has neither a BOS nor an EOS token to start a text with")
        self.prefix_token = int(prefix)
        self.prefix_text = str(loaded.decode([self.prefix_token]))
        self.eos_text = None if loaded.eos_token_id is None else str(loaded.decode([loaded.eos_token_id]))
        self.identity = tokenizer_identity(loaded)

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
        if not self._tokenizer.chat_template:
            raise EngineError("the model's tokenizer has no chat template; use `prompt` instead of `messages`")
        text: str = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return text


class Remembering:
    """A tokenizer that encodes equal texts once: the options of an item share a long context."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[tuple[str, bool], tuple[int, ...]] = {}
        self.identity = tokenizer.identity
        self.prefix_token = tokenizer.prefix_token
        self.prefix_text = tokenizer.prefix_text
        self.eos_text = tokenizer.eos_text

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        key = (text, add_special_tokens)
        if key not in self._known:
            self._known[key] = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return self._known[key]

    def chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
        return self._tokenizer.chat(messages, add_generation_prompt=add_generation_prompt)


def tokenizer_identity(tokenizer: Any) -> str:
    """Hash of a Hugging Face tokenizer: its serialised form, special tokens and chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    parts = (
        content,
        repr(sorted(tokenizer.special_tokens_map.items(), key=str)),
        repr(tokenizer.chat_template),
        repr([getattr(tokenizer, name, None) for name in ("add_bos_token", "add_eos_token")]),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def adds_special_tokens(tokenizer: Tokenizer, text: str) -> bool:
    """lm-eval's default: the tokenizer's own habit, unless the text already starts with the start token."""
    return not text.startswith(tokenizer.prefix_text)


def encode_prompt(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    return tokenizer.encode(text, add_special_tokens=adds_special_tokens(tokenizer, text))


def encode_pair(tokenizer: Tokenizer, context: str, continuation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Context ids, and the ids the whole text has beyond them.

    Spaces at the end of the context move to the continuation; an empty context becomes the prefix token.
    """
    if context == "":
        ids = tokenizer.encode(continuation, add_special_tokens=False)
        if ids and ids[0] == tokenizer.prefix_token:
            return ids[:1], ids[1:]
        return (tokenizer.prefix_token,), ids
    stripped = context.rstrip()
    continuation = context[len(stripped) :] + continuation
    context = stripped
    if context == "":
        return encode_pair(tokenizer, "", continuation)
    whole = encode_prompt(tokenizer, context + continuation)
    head = encode_prompt(tokenizer, context)
    return head, whole[len(head) :]


def windows(ids: Sequence[int], prefix: int, *, window: int, stride: int) -> Iterator[Window]:
    """Every token of a document scored exactly once, each window at most `window` input tokens.

    The first window starts from the prefix token; later ones score `stride` new tokens with as much text before
    them as fits. With stride = window these are lm-eval's rolling windows (context_len = 1): one token of context.
    `ids` carry no special tokens of their own, so a tokenizer that adds BOS starts from one BOS and does not score
    it; lm-eval's `hf` model would put a second one behind the first and score that.
    """
    done = 0
    while done < len(ids):
        end = min(done + (window if done == 0 else stride), len(ids))
        start = end - window - 1
        tokens = tuple(ids[start:end]) if start >= 0 else (prefix, *ids[:end])
        yield Window(tokens=tokens, scored_from=len(tokens) - (end - done))
        done = end
