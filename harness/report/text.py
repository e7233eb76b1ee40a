"""Text of unknown origin made safe to look at: what a model wrote, what an engine said.

Nothing is dropped silently: a control or direction character is replaced by what shows it was there.
Escaping for a format (HTML, XML, Markdown) is that format's own business and comes after.
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


def visible(text: str, *, longest: int = LONGEST) -> str:
    """`text` with unshowable characters replaced, cut after `longest` characters with a note saying so."""
    left_out = len(text) - longest
    kept = text[:longest] if left_out > 0 else text
    kept = kept.replace("\r\n", "\n")
    shown = _UNSHOWABLE.sub(_shown, kept)
    return f"{shown} … [{left_out:,} more characters]" if left_out > 0 else shown


def one_line(text: str, *, longest: int = 400) -> str:
    """As `visible`, on one line: line breaks and runs of blanks become one space."""
    return " ".join(visible(text.strip(), longest=longest).split())


def without_commands(text: str) -> str:
    """`text` that a CI log reader (GitHub, Azure) does not take for a command (`::error::`, `##[group]`).

    GitHub looks for `::` at the start of a line, blanks ignored, and a terminal may wrap a line anywhere.
    """
    return text.replace("::", ": :").replace("##", "# #")
