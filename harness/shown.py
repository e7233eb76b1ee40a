"""Foreign text made safe to display: what a model wrote, what a server or a file said, what a suite contains.

Nothing is dropped silently: a control or direction character is replaced by what shows it was there.
Escaping for a format (HTML, XML, Markdown) is that format's own business and comes after. Imports nothing of ours.
"""

from __future__ import annotations

import re

LONGEST = 2000
"""Characters of an answer or a prompt that a report shows."""

_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, without tab and newline
    "\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # invisible or direction-changing
    "\ud800-\udfff\ufdd0-\ufdef\ufff9-\uffff"  # surrogates, non-characters
    "\U000e0000-\U000e0fff]"  # tags: text that nobody sees
)
_PICTURES = 0x2400
"""Unicode's pictures of the C0 controls start here: U+0007 is shown as U+2407."""


def _shown(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code == 0xFFFD:  # already the replacement character
        return match.group()
    if code < 0x20:
        return chr(_PICTURES + code)
    return f"⟨U+{code:04X}⟩"


def showable(text: str) -> str:
    """`text` with unshowable characters replaced; lines and tabs stay."""
    return _UNSHOWABLE.sub(_shown, text.replace("\r\n", "\n"))


def visible(text: str, *, longest: int = LONGEST) -> str:
    """`text` with unshowable characters replaced, cut after `longest` characters with a note saying so."""
    left_out = len(text) - longest
    kept = text[:longest] if left_out > 0 else text
    shown = showable(kept)
    return f"{shown} … [{left_out:,} more characters]" if left_out > 0 else shown


def one_line(text: str, *, longest: int = 400) -> str:
    """As `visible`, on one line: line breaks and runs of blanks become one space."""
    return " ".join(visible(text.strip(), longest=longest).split())


def name_in_line(text: str) -> str:
    """A name or a path within a line of prose: a line break in it is shown, not made."""
    return showable(text.replace("\n", chr(_PICTURES + 10)).replace("\r", chr(_PICTURES + 13)))


def without_commands(text: str) -> str:
    """`text` that a CI log reader (GitHub, Azure) does not take for a command (`::error::`, `##[group]`).

    GitHub looks for `::` at the start of a line, blanks ignored, and a terminal may wrap a line anywhere.
    """
    return text.replace("::", ": :").replace("##", "# #")


_AT_LINE_START = re.compile(r"(?m)^(\s*)::")
_ANYWHERE = re.compile(r"##(?=\[|vso\[)")


def without_line_commands(text: str, *, at_start: bool) -> str:
    """Printed text with no command in it, and otherwise as it is. `at_start`: nothing but blanks stands before it."""
    text = _ANYWHERE.sub("# #", text)
    if "::" not in text:
        return text
    head, line_break, rest = text.partition("\n")
    if at_start or not line_break:
        head = _AT_LINE_START.sub(r"\1: :", head) if at_start else head
    return head + line_break + _AT_LINE_START.sub(r"\1: :", rest)


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def not_a_formula(text: str) -> str:
    """A text as a cell of a CSV file: one that a spreadsheet would run as a formula gets an apostrophe in front."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def json_text(text: str) -> str:
    """JSON that says the same with nothing in it that a terminal or a log reader acts on."""
    return _UNSHOWABLE.sub(_escaped, _ANYWHERE.sub(r"\\u0023#", text))


def _escaped(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))
