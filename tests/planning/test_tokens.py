"""Token ids as lm-eval 0.4.13's `hf` model makes them, and windows in which every token is scored once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engines.scripted import ScriptedTokenizer
from harness.errors import EngineError
from harness.planning.around_tokenizer import Remembering
from harness.planning.tokens import HfTokenizer, adds_special_tokens, encode_pair, encode_prompt, windows

PAIRS = [
    ("Question: Where?\nAnswer:", " In the sea"),
    ("The quick brown  ", "fox"),
    ("He throws\n\n", "the ball"),
    ("", " no context at all"),
    ("   ", "only spaces before"),
    ("red", " green"),
    ("<s>user", " assistant"),
]


@pytest.mark.parametrize(("context", "continuation"), PAIRS)
def test_a_pair_is_its_text_split_once(tokenizer: HfTokenizer, context: str, continuation: str) -> None:
    """Context and continuation ids together are the ids of the whole text, or that behind the start token."""
    head, tail = encode_pair(tokenizer, context, continuation)
    whole = tokenizer.encode(context + continuation, add_special_tokens=False)
    start = (tokenizer.prefix_token,) if not context.strip() else ()
    assert head + tail == start + whole
    assert head
    assert tail


def test_spaces_at_the_end_of_a_context_belong_to_the_continuation(tokenizer: HfTokenizer) -> None:
    """`"a "` + `"b"` is scored as `"a"` + `" b"`: the space is part of the word's token."""
    assert encode_pair(tokenizer, "The quick ", "brown") == encode_pair(tokenizer, "The quick", " brown")


def test_a_continuation_that_brings_the_start_token_keeps_one(tokenizer: HfTokenizer) -> None:
    """With no context, a text that opens with the start token uses its own as the context."""
    head, tail = encode_pair(tokenizer, "", "<s>red")
    assert head == (tokenizer.prefix_token,)
    assert tokenizer.prefix_token not in tail


def test_bos_is_added_once(bos_tokenizer: HfTokenizer) -> None:
    """A tokenizer that adds BOS does so, except to a text that already starts with it, such as a filled template."""
    start = bos_tokenizer.prefix_token
    filled = bos_tokenizer.chat([{"role": "user", "content": "red"}])
    assert filled == "<s><user>red\n<assistant>"
    for text in ("red", "<s>red", filled):
        ids = encode_prompt(bos_tokenizer, text)
        assert ids[0] == start
        assert ids.count(start) == 1
        assert adds_special_tokens(bos_tokenizer, text) is not text.startswith("<s>")


def test_without_bos_a_text_starts_from_eos(no_bos_folder: Path) -> None:
    """The start token is EOS where there is no BOS, as in GPT-2."""
    found = HfTokenizer(str(no_bos_folder))
    assert found.prefix_text == "</s>" == found.eos_text


def test_a_chat_template_that_is_not_there_is_said(tokenizer_folder: Path, tmp_path: Path) -> None:
    """`messages` without a chat template is an error with what to do; so is a folder without a tokenizer."""
    import shutil

    shutil.copytree(tokenizer_folder, tmp_path / "bare")
    for name in ("chat_template.jinja", "chat_template.json"):
        (tmp_path / "bare" / name).unlink(missing_ok=True)
    with pytest.raises(EngineError, match="no chat template; use `prompt`"):
        HfTokenizer(str(tmp_path / "bare")).chat([{"role": "user", "content": "x"}])
    (tmp_path / "empty").mkdir()
    with pytest.raises(EngineError, match="no tokenizer could be loaded"):
        HfTokenizer(str(tmp_path / "empty"))


def test_identity_is_of_the_content(tokenizer_folder: Path, bos_folder: Path, tmp_path: Path) -> None:
    """A copied folder is the same tokenizer; another post-processor or chat template is another."""
    import shutil

    same = tmp_path / "same"
    shutil.copytree(tokenizer_folder, same)
    plain = HfTokenizer(str(tokenizer_folder)).identity
    assert HfTokenizer(str(same)).identity == plain
    assert HfTokenizer(str(bos_folder)).identity != plain
    (same / "chat_template.jinja").write_text("{{ messages }}")
    assert HfTokenizer(str(same)).identity != plain


class Counting(ScriptedTokenizer):
    """Counts how often it is really asked."""

    def __init__(self) -> None:
        self.asked = 0

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        self.asked += 1
        return super().encode(text, add_special_tokens=add_special_tokens)


def test_a_shared_context_is_encoded_once() -> None:
    """The options of an item cost one encoding of their context, and the ids are the tokenizer's own."""
    counting = Counting()
    once = Remembering(counting)
    pairs = [encode_pair(once, "a long context", option) for option in (" a", " b", " c")]
    assert counting.asked == 4
    assert pairs == [encode_pair(ScriptedTokenizer(), "a long context", option) for option in (" a", " b", " c")]


@given(
    ids=st.lists(st.integers(10, 99), min_size=1, max_size=60),
    window=st.integers(2, 20),
    share=st.floats(0.01, 1),
)
def test_every_token_is_scored_once(ids: Sequence[int], window: int, share: float) -> None:
    """Whatever window and stride: the scored parts in order are the document, and no input exceeds the window."""
    stride = max(1, int(window * share))
    found = list(windows(ids, 1, window=window, stride=stride))
    assert [token for each in found for token in each.tokens[each.scored_from :]] == list(ids)
    assert all(1 <= each.scored_from < len(each.tokens) <= window + 1 for each in found)
    assert found[0].tokens[0] == 1
    assert all(len(each.tokens) == window + 1 for each in found[1:])


@settings(deadline=None)  # the first example imports lm-eval
@given(ids=st.lists(st.integers(10, 99), min_size=1, max_size=60), window=st.integers(2, 20))
def test_without_overlap_these_are_lm_evals_rolling_windows(ids: list[int], window: int) -> None:
    """With stride = window: the same predicted tokens, each with the same context, as lm-eval's context_len = 1."""
    from lm_eval.utils import get_rolling_token_windows

    theirs = get_rolling_token_windows(token_list=ids, prefix_token=1, max_seq_len=window, context_len=1)
    ours = windows(ids, 1, window=window, stride=window)
    for window_of_ours, (inputs, predicted) in zip(ours, theirs, strict=True):
        assert list(window_of_ours.tokens[:-1]) == inputs
        assert list(window_of_ours.tokens[window_of_ours.scored_from :]) == predicted
