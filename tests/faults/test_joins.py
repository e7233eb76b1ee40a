"""What is scored is what is written: prompt and option as token ids, whatever the tokenizer does at their join."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import models, normalizers, pre_tokenizers

from harness.planning.tokens import (
    HfTokenizer,
    UnsplitError,
    encode_alone,
    encode_options,
    encode_pair,
    encode_prompt,
    lm_evals_pair,
    unknown_in,
)
from tests.faults.toy_tokenizers import SPECIAL, Toy, saved, texts, toys

relaxed = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
some_options = st.lists(texts, min_size=1, max_size=3, unique=True)


@pytest.mark.fault("kind: joins", "tokenizers with random merges, byte fallback and post-processors")
@relaxed
@given(toy=toys, prompt=texts, options=some_options)
def test_every_byte_is_asked_once(toy: Toy, prompt: str, options: list[str]) -> None:
    """Context and continuation hold the bytes of prompt and option, each once; no special token stands among them;
    every option is scored with the same end of the prompt, and the ids are those of the whole text."""
    found = encode_options(toy.tokenizer, prompt, options)
    blank = not prompt.strip()
    ends = set()
    for option, tail in zip(options, found.continuations, strict=True):
        assert toy.behind(found.context + tail) == toy.written(prompt + option)
        whole = toy.tokenizer.encode(prompt + option, add_special_tokens=False)
        assert found.context + tail in (toy.tokenizer.leading + whole, (toy.tokenizer.prefix_token, *whole))
        assert not set(tail) & set(range(len(SPECIAL)))
        scored = toy.behind(tail)
        assert scored.endswith(option.encode())
        ends.add(scored[: len(scored) - len(option.encode())])
    assert len(ends) == 1 or blank
    assert found.context


@pytest.mark.fault("kind: joins", "the same tokenizers: ids where lm-eval loses nothing")
@relaxed
@given(toy=toys, prompt=texts.filter(str.strip), options=some_options)
def test_where_lm_eval_loses_nothing_the_ids_are_its_own(toy: Toy, prompt: str, options: list[str]) -> None:
    """Equal to lm-eval's whenever its ids hold every byte of prompt and option once and nothing behind them."""
    theirs = [lm_evals_pair(toy.tokenizer, prompt, option) for option in options]
    whole = [toy.written(prompt + option) for option in options]
    loses = any(toy.behind(head + tail) != text for (head, tail), text in zip(theirs, whole, strict=True))
    found = encode_options(toy.tokenizer, prompt, options)
    if not loses and not toy.tokenizer.trailing:
        assert [(found.context, tail) for tail in found.continuations] == theirs
    if loses:
        assert [(found.context, tail) for tail in found.continuations] != theirs


@pytest.mark.fault("kind: joins", "the same tokenizers: prompts to generate from, out of a template or not")
@relaxed
@given(toy=toys, prompt=texts)
def test_a_prompt_ends_with_its_text(toy: Toy, prompt: str) -> None:
    """What the tokenizer puts behind a text is no part of a prompt, and a template's text gets nothing added."""
    own = toy.tokenizer.encode(prompt, add_special_tokens=False)
    assert encode_prompt(toy.tokenizer, prompt) == toy.tokenizer.leading + own
    assert encode_prompt(toy.tokenizer, prompt, templated=True) == own
    assert encode_prompt(toy.tokenizer, "") == encode_options(toy.tokenizer, "", [prompt]).context


@pytest.mark.fault("kind: joins", "the same tokenizers: an option behind prompts that end differently")
@relaxed
@given(toy=toys, option=texts)
def test_an_option_alone_is_its_own_bytes(toy: Toy, option: str) -> None:
    """The ids of an option as it follows other text hold its bytes, no space in front of them; or it is refused."""
    with suppress(UnsplitError):
        assert toy.behind(encode_alone(toy.tokenizer, option)) == option.encode()


def bpe(folder: Path, names: Sequence[str], **keywords: Any) -> HfTokenizer:
    """Merges that make each of `names` in turn, over whole texts."""
    letters = sorted(set("".join(names)))
    folder.mkdir(exist_ok=True)
    known, merges = list(letters), []
    for name in names:
        for place in range(2, len(name) + 1):
            if name[:place] not in known:
                known.append(name[:place])
                merges.append((name[: place - 1], name[place - 1]))
    vocabulary = {name: place for place, name in enumerate([*SPECIAL, "<unk>", *known])}
    inner = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges, **keywords))
    return saved(inner, folder, **({"unk_token": "<unk>"} if keywords else {}))


@pytest.mark.fault("T8", "an option whose first characters share a token with the prompt's last")
def test_a_token_across_the_join_is_scored_whole(tmp_path: Path) -> None:
    """`http:` + `//x.org`: the split moves before `://`, for every option of the item."""
    web = bpe(tmp_path, ["http", "://", ".org", "x", " y"])
    found = encode_options(web, "http:", ["//x.org", " y"])
    text = {
        token: name for name, token in json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"].items()
    }
    assert [text[token] for token in found.context] == ["http"]
    assert [[text[token] for token in tail] for tail in found.continuations] == [["://", "x", ".org"], [":", " y"]]
    assert [text[token] for token in lm_evals_pair(web, "http:", "//x.org")[1]] == ["x", ".org"]
    assert encode_pair(web, "http:", " y") == lm_evals_pair(web, "http:", " y")


@pytest.mark.fault("T8", "a prompt and an option that are one token together")
def test_a_text_of_one_token_starts_from_the_start_token(tmp_path: Path) -> None:
    """Nothing is left in front of the token, so the start token stands there, as before an empty prompt."""
    whole = bpe(tmp_path, ["until", "a"])
    assert encode_pair(whole, "un", "til") == ((0,), whole.encode("until", add_special_tokens=False))


@pytest.mark.fault("kind: joins", "an option without a token, or with a character that has none")
def test_an_option_that_no_token_stands_for_is_refused(tmp_path: Path) -> None:
    """Left out by the tokenizer: all of it, or the one character that makes it another option."""
    small = bpe(tmp_path, ["ab", "c"])
    with pytest.raises(UnsplitError, match="the option '日' adds no token to its prompt"):
        encode_options(small, "ab", ["c", "日"])
    with pytest.raises(UnsplitError, match="no token for '日' in the option 'c日'"):
        encode_options(small, "ab", ["c", "c日"])
    assert encode_pair(small, "ab", "c\n")[1] == small.encode("c", add_special_tokens=False)


@pytest.mark.fault("kind: joins", "one unknown token for the prompt's end and the option together")
def test_an_unknown_token_does_not_swallow_the_join(tmp_path: Path) -> None:
    """Equal ids are no proof: the fused token of unknown text stands for more in the whole text than in the prompt."""
    fused = bpe(tmp_path, ["ab", "c"], unk_token="<unk>", fuse_unk=True)
    head, tail = encode_pair(fused, "ab日", "本c")
    assert (head, tail) == (
        fused.encode("ab", add_special_tokens=False),
        fused.encode("日本c", add_special_tokens=False),
    )
    assert lm_evals_pair(fused, "ab日", "本c")[1] == fused.encode("c", add_special_tokens=False)


@pytest.mark.fault("kind: joins", "tokenizers that change the text: lower case, accents, composed letters")
def test_sound_tokenizers_that_change_the_text_are_not_refused(tmp_path: Path) -> None:
    """Their tokens do not spell the text, but stand for its characters; a letter composed over the join moves."""
    names = [*SPECIAL, "[UNK]", *"ecapris", "paris", "cafe", "##s", "##e", "é"]
    vocabulary = {name: place for place, name in enumerate(names)}
    uncased = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    uncased.normalizer = normalizers.BertNormalizer(lowercase=True)
    uncased.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    lower = saved(uncased, tmp_path / "lower", unk_token="[UNK]")
    assert encode_pair(lower, "Café", " PARIS") == ((vocabulary["cafe"],), (vocabulary["paris"],))
    composing = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    composing.normalizer = normalizers.NFC()
    nfc = saved(composing, tmp_path / "nfc")
    assert encode_pair(nfc, "ce", "\u0301s") == ((vocabulary["c"],), (vocabulary["é"], vocabulary["s"]))


@pytest.mark.fault("kind: joins", "a prompt of text that the tokenizer drops or does not know")
def test_a_prompt_without_a_token_is_refused(tmp_path: Path) -> None:
    """A part that is dropped or unknown is told; a prompt of which nothing is left is an error."""
    small = bpe(tmp_path / "small", ["ab", "c"])
    fused = bpe(tmp_path / "fused", ["ab", "c"], unk_token="<unk>", fuse_unk=True)
    for ask in (lambda: encode_prompt(small, "日本"), lambda: encode_options(small, "日本", ["c"])):
        with pytest.raises(UnsplitError, match="no token stands for the prompt '日本'"):
            ask()
    assert [unknown_in(each, text) for each in (small, fused) for text in ("abc", "ab日")] == [False, True] * 2
