"""The baseline's tokenizer, used once for all variants: the one place where text becomes token ids. Every id is one
that the tokenizer assigns in the whole text, and every character is on exactly one side of the split. The rules are
lm-eval's 0.4.13 (`api/model.py: _encode_pair`, `models/huggingface.py: tok_encode`, `utils.py:
get_rolling_token_windows`) wherever those lose nothing, so that scores equal its `hf` model's: spaces at the end of a
prompt belong to what follows, an empty prompt is the start token. Where a token spans the join lm-eval scores a part of
the option; here the split moves back to the last token that prompt and all whole texts have in common, so that the same
end of the prompt is scored with each option. Refuses an option without tokens. Nothing is truncated silently.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import Any, Protocol

from harness.engines.protocol import Pieces, Window
from harness.errors import EngineError, telling

PROBES = ("a", "The", "1", ".", "\n", "é", "日本")
"""Texts that reveal what a tokenizer adds around a text."""
VOCABULARY_PROBES = 100
"""Tokens of the vocabulary tried after them."""

CLOCK = "strftime_now"
"""The one way in which transformers shows a chat template the time."""
TIMES = tuple(f"{{% macro {CLOCK}(format) %}}{year}{{% endmacro %}}" for year in (1999, 2001))
"""What stands before a template so that it is another time; a macro takes the function's place."""
ANCHORS = (".", ":", "a", "1", "日")
"""Texts after which to see the tokens of an option that follows anything."""
SILENT = frozenset("CMZ")
"""Unicode categories that a tokenizer may leave out: controls, marks that are composed, spaces."""


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
    """The token before a text without context: BOS, or EOS where there is no BOS."""
    prefix_text: str
    eos_text: str | None
    leading: tuple[int, ...]
    """The tokens that it prepends by itself."""
    trailing: tuple[int, ...]
    """The tokens that it appends: never part of a prompt or of an answer."""
    unknown: int | None
    """The unknown token."""

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]: ...

    def pieces(self, text: str) -> Pieces:
        """The text's own tokens, nothing added."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of these tokens; nothing for an id that is none, and U+FFFD for part of a character."""
        ...

    def chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str: ...

    def moves(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> bool:
        """Whether the chat template renders these messages differently at another time."""
        ...


class HfTokenizer:
    """A Hugging Face tokenizer from a folder or a hub id."""

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        trust_remote_code: bool = False,
        gguf_file: str | None = None,
    ) -> None:
        """`gguf_file`: the file in the folder that holds it."""
        import transformers

        inside = {"gguf_file": gguf_file} if gguf_file is not None else {}
        try:
            loaded: Any = transformers.AutoTokenizer.from_pretrained(
                path, revision=revision, trust_remote_code=trust_remote_code, **inside
            )
        except Exception as error:
            raise EngineError(f"{path}: no tokenizer could be loaded: {telling(error)}") from error
        self._tokenizer = loaded
        prefix = loaded.bos_token_id if loaded.bos_token_id is not None else loaded.eos_token_id
        if prefix is None:
            raise EngineError(f"{path}: the tokenizer has neither a BOS nor an EOS token to start a sequence with")
        self.prefix_token = int(prefix)
        self.prefix_text = str(loaded.decode([self.prefix_token]))
        self.eos_text = None if loaded.eos_token_id is None else str(loaded.decode([loaded.eos_token_id]))
        self.identity = tokenizer_identity(loaded)
        self.leading, self.trailing = _added(loaded, path)
        named = (loaded.bos_token_id, loaded.eos_token_id)  # GPT-2 calls one token all three
        self.unknown = None if loaded.unk_token_id in (None, *named) else int(loaded.unk_token_id)

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def pieces(self, text: str) -> Pieces:
        if not getattr(self._tokenizer, "is_fast", False):
            return Pieces(ids=self.encode(text, add_special_tokens=False), spans=None)
        found = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, return_attention_mask=False
        )
        return Pieces(ids=tuple(found["input_ids"]), spans=tuple(map(tuple, found["offset_mapping"])))

    def decode(self, tokens: Sequence[int]) -> str:
        known = [token for token in tokens if token < len(self._tokenizer)]
        return str(self._tokenizer.decode(known, clean_up_tokenization_spaces=False))

    def chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
        templates = self._tokenizer.chat_template
        if not templates:
            raise EngineError("the model's tokenizer has no chat template; use `prompt` instead of `messages`")
        if isinstance(templates, Mapping) and "default" not in templates:
            raise EngineError(
                f"the model's tokenizer has several chat templates ({', '.join(sorted(templates))}) and none of them "
                "is the default; name one `default` in its tokenizer_config.json"
            )
        return self._render(messages, add_generation_prompt=add_generation_prompt)

    def moves(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> bool:
        import jinja2

        template = self._tokenizer.chat_template
        if template is not None and not isinstance(template, str):  # several, by name
            template = self._tokenizer.get_chat_template()
        if template is None or CLOCK not in template:
            return False
        try:
            first, second = (
                self._render(messages, add_generation_prompt=add_generation_prompt, chat_template=time + template)
                for time in TIMES
            )
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError):
            return True  # it refuses what these times give it, so it reads them
        return first != second

    def _render(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool, **changes: str) -> str:
        text: str = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
            **changes,
        )
        return text


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


def _added(tokenizer: Any, path: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens that the tokenizer adds before and after a text. Raises `EngineError` where that cannot be
    determined."""
    words = (tokenizer.decode([token]) for token in range(min(len(tokenizer), VOCABULARY_PROBES)))
    for probe in chain(PROBES, words):
        try:
            own = list(tokenizer.encode(probe, add_special_tokens=False))
            whole = list(tokenizer.encode(probe, add_special_tokens=True))
        except Exception:  # noqa: BLE001  # the library's own class: a vocabulary without a token for the others
            continue
        places = [start for start in range(len(whole)) if whole[start : start + len(own)] == own]
        if own and len(places) == 1:
            return tuple(whole[: places[0]]), tuple(whole[places[0] + len(own) :])
    raise EngineError(
        f"{path}: the tokens that the tokenizer adds around a text cannot be distinguished from the text's own"
    )


class UnsplitError(Exception):
    """No token ids represent this option; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """One prompt and the options behind it."""

    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    moved: tuple[int, ...] = ()
    """The prompt's last tokens, where a token spans the join: their text is scored with every option."""


def adds_special_tokens(tokenizer: Tokenizer, text: str) -> bool:
    """The tokenizer's own habit, unless the text already begins with what it would put there."""
    if text.startswith(tokenizer.prefix_text):
        return False
    own = tokenizer.pieces(text).ids
    return not (tokenizer.leading and own[: len(tokenizer.leading)] == tokenizer.leading)


def encode_prompt(tokenizer: Tokenizer, text: str, *, templated: bool = False) -> tuple[int, ...]:
    """Ids of a prompt with nothing behind it. `templated`: out of a chat template, which brings its special tokens.

    An empty prompt is the start token, as it is before options. Raises `UnsplitError` where no token stands for it.
    """
    own = tokenizer.pieces(text).ids
    if text.strip() and not own:
        raise UnsplitError(f"no token stands for the prompt {text!r:.60}")
    if text == "":
        return (tokenizer.prefix_token,)
    return _start(tokenizer, text, templated=templated) + own or (tokenizer.prefix_token,)


def encode_pair(
    tokenizer: Tokenizer, context: str, continuation: str, *, templated: bool = False
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Context ids and the ids behind them, for one option. Raises `UnsplitError`."""
    found = encode_options(tokenizer, context, [continuation], templated=templated)
    return found.context, found.continuations[0]


def encode_options(tokenizer: Tokenizer, context: str, options: Sequence[str], *, templated: bool = False) -> Split:
    """One context for all options, and what each whole text has beyond it. Raises `UnsplitError`."""
    stripped = context.rstrip()
    behind = [context[len(stripped) :] + option for option in options]
    if stripped == "":
        return _from_nothing(tokenizer, behind)
    head = tokenizer.pieces(stripped)
    if not head.ids:
        raise UnsplitError(f"no token stands for the prompt {stripped!r:.60}")
    wholes = [tokenizer.pieces(stripped + each) for each in behind]
    for whole, option in zip(wholes, options, strict=True):
        if whole.ids == head.ids[: len(whole.ids)]:
            raise UnsplitError(f"the option {option!r:.60} adds no token to its prompt")
    shared = _at_a_character([head, *wholes], min(_common(head.ids, whole.ids) for whole in wholes))
    for option, added in zip(options, behind, strict=True):
        _refuse_dropped(tokenizer, stripped + added, len(stripped), option)
    start = _start(tokenizer, context, templated=templated) + head.ids[:shared] or (tokenizer.prefix_token,)
    tails = tuple(whole.ids[shared:] for whole in wholes)
    return Split(context=start, continuations=tails, moved=head.ids[shared:])


def encode_alone(tokenizer: Tokenizer, option: str) -> tuple[int, ...]:
    """Ids of an option as it follows a text that its first token does not reach into. Raises `UnsplitError`."""
    for anchor in ANCHORS:
        with suppress(UnsplitError):  # not every vocabulary has every anchor
            found = encode_options(tokenizer, anchor, [option])
            if not found.moved:
                return found.continuations[0]
    raise UnsplitError(f"the first token of {option!r:.60} always reaches into what stands before it")


def unknown_in(tokenizer: Tokenizer, text: str) -> bool:
    """Whether part of the text is unknown to the tokenizer: it has one token for all of that, or none at all."""
    known = tokenizer.unknown is None or tokenizer.unknown not in tokenizer.pieces(text).ids
    return not known or any(_dropped(tokenizer, text, 0))


def lm_evals_pair(tokenizer: Tokenizer, context: str, continuation: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The token ids of lm-eval's `hf` model for the same texts, lost characters and added tokens included."""
    stripped = context.rstrip()
    if stripped == "":
        return _from_nothing_pair(tokenizer, context + continuation)
    head = lm_evals_prompt(tokenizer, stripped)
    return head, lm_evals_prompt(tokenizer, context + continuation)[len(head) :]


def lm_evals_prompt(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    """The token ids of lm-eval's `hf` model for a prompt."""
    own = tokenizer.pieces(text).ids
    return own if text.startswith(tokenizer.prefix_text) else tokenizer.leading + own + tokenizer.trailing


def _start(tokenizer: Tokenizer, text: str, *, templated: bool) -> tuple[int, ...]:
    return tokenizer.leading if not templated and adds_special_tokens(tokenizer, text) else ()


def _from_nothing(tokenizer: Tokenizer, texts: Sequence[str]) -> Split:
    tails = []
    for text in texts:
        _, tail = _from_nothing_pair(tokenizer, text)
        if not tail:
            raise UnsplitError(f"the option {text!r:.60} adds no token to its prompt")
        _refuse_dropped(tokenizer, text, 0, text)
        tails.append(tail)
    return Split(context=(tokenizer.prefix_token,), continuations=tuple(tails))


def _from_nothing_pair(tokenizer: Tokenizer, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Behind the start token, which a text that brings it has once."""
    ids = tokenizer.pieces(text).ids
    start = (tokenizer.prefix_token,)
    return start, ids[1:] if ids[:1] == start else ids


def _common(head: Sequence[int], whole: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(head, whole, strict=False)))


def _at_a_character(texts: Sequence[Pieces], shared: int) -> int:
    """The most leading tokens, up to `shared`, that cover the same whole characters in prompt and all texts.

    Equal ids alone do not prove it: the token of unknown text swallows what follows, and a character of several
    bytes has several tokens.
    """
    spans = [each.spans for each in texts if each.spans is not None]
    if len(spans) < len(texts):
        return shared
    while shared > 0:
        last = spans[0][shared - 1]
        behind = [each[shared] for each in spans if shared < len(each)]
        whole = not any(start < last[1] and end > start for start, end in behind)
        if whole and all(each[shared - 1] == last for each in spans):
            return shared
        shared -= 1
    return 0


def _refuse_dropped(tokenizer: Tokenizer, text: str, start: int, option: str) -> None:
    if char := next(_dropped(tokenizer, text, start), None):
        raise UnsplitError(f"the tokenizer has no token for {char!r} in the option {option!r:.60}")


def _dropped(tokenizer: Tokenizer, text: str, start: int) -> Iterator[str]:
    """Characters of the text from `start` on that no token covers."""
    spans = tokenizer.pieces(text).spans
    if spans is None:
        return
    reached = start
    for begin, end in (*spans, (len(text), len(text))):
        for char in text[reached:begin]:
            silent = char.isspace() or unicodedata.category(char)[0] in SILENT
            if not silent and not tokenizer.pieces(char).ids:
                yield char
        reached = max(reached, end)


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
