"""Random small tokenizers of the kinds in the wild, and which bytes each of their tokens stands for."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import transformers
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from harness.planning.tokens import HfTokenizer

SPECIAL = ("<s>", "</s>", "[CLS]")
LETTERS = "ab:/. \nné日本🙂"
texts = st.text(alphabet=LETTERS, min_size=1, max_size=12)


def byte_letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in own]
    return {byte: chr(byte) for byte in own} | {byte: chr(256 + n) for n, byte in enumerate(others)}


BYTE_LETTERS = byte_letters()
LETTER_BYTES = {letter: byte for byte, letter in BYTE_LETTERS.items()}


@dataclass(frozen=True, kw_only=True)
class Toy:
    """A tokenizer as quantgate loads it, beside what a test knows of it."""

    tokenizer: HfTokenizer
    written: Callable[[str], bytes]
    """A text as the tokenizer reads it: with the space that SentencePiece puts before one."""
    behind: Callable[[Sequence[int]], bytes]
    """The bytes that tokens stand for; special ones stand for nothing."""


def merge_closure(letters: Sequence[str], pairs: Sequence[tuple[int, int]]) -> tuple[list[str], list[tuple[str, str]]]:
    """Merges between random tokens made so far, each new token once."""
    known, merges = list(letters), []
    for left, right in pairs:
        pair = (known[left % len(known)], known[right % len(known)])
        if "".join(pair) not in known:
            known.append("".join(pair))
            merges.append(pair)
    return known, merges


def post_processor(kind: str, start: Sequence[str], end: Sequence[str]) -> Any:
    ids = [(name, SPECIAL.index(name)) for name in SPECIAL]
    template = processors.TemplateProcessing(single=[*start, "$A", *end], special_tokens=ids)
    if kind == "template":
        return template
    if kind == "sequence":
        return processors.Sequence([processors.ByteLevel(trim_offsets=True), template])
    if kind == "roberta":
        return processors.RobertaProcessing(("</s>", 1), ("[CLS]", 2), trim_offsets=True, add_prefix_space=False)
    return processors.ByteLevel(trim_offsets=kind == "trimmed")


def saved(inner: Any, folder: Path, **keywords: Any) -> HfTokenizer:
    """As every tokenizer comes: loaded from a folder."""
    inner.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "[CLS]", **keywords}
    transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **names).save_pretrained(folder)
    return HfTokenizer(str(folder))


def as_it_stands(text: str) -> str:
    return text


def toy(inner: Any, token_bytes: Callable[[str], bytes], read: Callable[[str], str] = as_it_stands) -> Toy:
    names = {token: name for name, token in inner.get_vocab().items()}

    def behind(ids: Sequence[int]) -> bytes:
        return b"".join(b"" if token < len(SPECIAL) else token_bytes(names[token]) for token in ids)

    with tempfile.TemporaryDirectory() as folder:
        tokenizer = saved(inner, Path(folder))
    return Toy(tokenizer=tokenizer, written=lambda text: read(text).encode(), behind=behind)


@st.composite
def byte_level(draw: st.DrawFn) -> Toy:
    """GPT-2's, Llama 3's and Qwen's kind: merges over bytes, with or without words split first."""
    used = [BYTE_LETTERS[byte] for byte in sorted(set(LETTERS.encode()))]
    numbers = st.integers(0, 200)
    known, merges = merge_closure(used, draw(st.lists(st.tuples(numbers, numbers), max_size=40)))
    rest = [letter for letter in BYTE_LETTERS.values() if letter not in known]
    vocabulary = {name: place for place, name in enumerate([*SPECIAL, *known, *rest])}
    inner = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=draw(st.booleans())))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=draw(st.booleans()))
    inner.decoder = decoders.ByteLevel()
    some = st.lists(st.sampled_from(SPECIAL), max_size=2)
    kinds = st.sampled_from(["template", "sequence", "roberta", "trimmed", "whole"])
    inner.post_processor = post_processor(draw(kinds), draw(some), draw(some))
    return toy(inner, lambda name: bytes(LETTER_BYTES[letter] for letter in name))


@st.composite
def sentence_piece(draw: st.DrawFn) -> Toy:
    """Llama 2's, Mistral's and Gemma's kind: merges over characters, bytes for those without a token."""
    scheme = draw(st.sampled_from(["first", "always", "never", "normalizer"]))
    letters = [letter for letter in LETTERS.replace(" ", "▁") if letter not in "日🙂"]
    numbers = st.integers(0, 100)
    known, merges = merge_closure(letters, draw(st.lists(st.tuples(numbers, numbers), max_size=40)))
    names = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *known]
    vocabulary = {name: place for place, name in enumerate(names)}
    inner = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True))
    if scheme == "normalizer":
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(
            replacement="▁", prepend_scheme=scheme, split=draw(st.booleans())
        )
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    some = st.lists(st.sampled_from(SPECIAL), max_size=2)
    inner.post_processor = post_processor("template", draw(some), draw(some))

    def token_bytes(name: str) -> bytes:
        if found := re.fullmatch("<0x(..)>", name):
            return bytes.fromhex(found[1])
        return name.replace("▁", " ").encode()

    def read(text: str) -> str:
        put = scheme == "normalizer" or (scheme != "never" and not text.startswith(" "))
        return f" {text}" if put else text

    return toy(inner, token_bytes, read)


toys = st.one_of(byte_level(), sentence_piece())
