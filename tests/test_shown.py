"""Text of unknown origin, made safe to look at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.shown import not_a_formula, one_line, visible, without_commands


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\x00b", "a\u2400b"),
        ("\x1b[31m", "\u241b[31m"),
        ("\u202eabc", "⟨U+202E⟩abc"),
        ("\ud800", "⟨U+D800⟩"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("Zürich 東京 👩‍🔬 \ufffd", "Zürich 東京 👩‍🔬 \ufffd"),
    ],
)
def test_unshowable_characters_are_replaced_not_dropped(raw: str, shown: str) -> None:
    """A reader sees that a control or direction character was there; ordinary text stays as it is."""
    assert visible(raw) == shown


def test_long_text_is_cut_with_a_note() -> None:
    """100 kB of answer become the first characters and the number of those left out."""
    shown = visible("x" * 100_000, longest=500)
    assert shown == "x" * 500 + " … [99,500 more characters]"


@given(st.text())
def test_one_line_is_one_line(raw: str) -> None:
    """Whatever comes in, one printable line goes out that can be encoded and starts no CI command."""
    shown = without_commands(one_line(raw))
    assert len(shown.splitlines()) <= 1
    assert shown.encode() is not None
    assert "::" not in shown
    assert "##" not in shown


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=1+1", "'=1+1"), ("@x", "'@x"), ("-2", "'-2"), ("+2", "'+2"), ("\tx", "'\tx"), ("a=1", "a=1"), ("", "")],
)
def test_a_cell_is_no_formula(text: str, cell: str) -> None:
    """A spreadsheet that opens the CSV shows a text and runs nothing."""
    assert not_a_formula(text) == cell
