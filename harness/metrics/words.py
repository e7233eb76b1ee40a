"""Metrics of generated text: equality, containment and word-overlap F1, in any script.

A text is compared as its words. Punctuation is left out, what carries meaning is not: a sign, a decimal point, an
operator, a currency, `++` and `#` behind a name. Where a script has no spaces between words, its characters are the
words. docs/suite.md has the rules as a table of examples, and the tests run that table.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import regex

ARTICLES = frozenset(("a", "an", "the"))
NOT_BEHIND_ARTICLES = frozenset(("and", "or", "nor", "vs", "versus", "is", "was", "are"))
"""`A and B`, `A is right`: a letter, no article."""

_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Myanmar}\p{Khmer}ー"
_X = rf"[[\p{{L}}\p{{M}}\p{{N}}_\u200c\u200d]--[{_SPACELESS}]]"
_WORD = rf"""
    (?: (?<! [{_X}\)\]\}}] ) [-+] (?= \.?\d ) )?            # a sign: -5, +.5
    (?: (?<! {_X} ) \. (?= \d ) )?                          # .5
    {_X}+
    (?: (?: (?<= \d ) [.,] (?= \d )                         # 3.14, 3,14, 1,000
          | (?<= \p{{L}} ) ' (?= \p{{L}} )                  # don't
          | (?<= (?<! {_X} ) \p{{L}} ) \. (?= \p{{L}} )     # U.S.
          | (?<= \p{{L}} ) \. (?= \p{{L}} (?! {_X} ) )      # Ph.D
          | (?<= \p{{L}}\p{{L}} ) - (?= \p{{L}} )           # well-known
          | (?<= \p{{L}} ) - (?= \p{{L}}\p{{L}} )           # e-mail
        ) {_X}+ )*
    (?: \++ (?! {_X} )                                      # C++, A+
      | (?<= (?<! {_X} ) \p{{L}}{{1,2}} ) [-#] (?! [{_X}\-#>] )          # C#, A-
      | (?<= (?<! [{_X}*] ) \p{{L}}{{1,2}} ) \* (?! [{_X}*] )            # A*, not *A*
    )?
"""
_KEPT = rf"""
    [\p{{Sm}}\p{{Sc}}\p{{So}}^%‰&/]
    | (?<= \d ) : (?= \d ) | (?<= {_X} ) @ (?= {_X} )                     # 3:45, a@b
    | (?<= {_X} ) [*·] (?= {_X} ) | (?<= {_X}[ ] ) [*·] (?= [ ]{_X} )     # 5*3, 5 * 3
    | (?<= {_X} ) - (?= {_X} ) | (?<= \d ) - | - (?= [ ]?\d )             # x-5, 5-3, 5 - 3, - 5
    | (?<= (?<! {_X} ) \p{{L}}[ ] ) - (?= [ ]\p{{L}} (?! {_X} ) )         # x - y
    | (?<! [{_X}\)\]\}}\-] ) - (?= \p{{L}} (?! {_X} ) | [\p{{Sc}}(] )     # -x, -$5, -(3)
    | - (?= \p{{Sm}} ) | (?<= \p{{Sm}} ) - | ! (?= = )                     # ->, <-, !=
"""
_TOKEN = regex.compile(
    rf"(?P<character>[{_SPACELESS}]\p{{M}}*)|(?P<word>{_WORD})|(?P<symbol>{_KEPT})",
    regex.VERBOSE | regex.VERSION1,
)
_THOUSANDS = regex.compile(r"(?<![\d.,])([1-9]\d{0,2}(?:,\d{3})+)(?![\d,])")
_JOINTS = regex.compile(r"(?<=\p{L})['.\-](?=\p{L})")


class _Unified(dict[int, str | None]):
    """One way of writing for characters that differ in width, kind of digit or dash only."""

    def __missing__(self, code: int) -> str | None:
        self[code] = found = _unified(chr(code))
        return found


def _unified(char: str) -> str | None:
    kind = unicodedata.category(char)
    if kind == "Nd":
        return str(unicodedata.decimal(char))
    if char == "\u200b":  # a break between words that shows no space
        return " "
    if char in "\u200c\u200d":
        return char
    if kind == "Cf" or "\ufe00" <= char <= "\ufe0f":
        return None
    if char in "\u2212\ufe63\uff0d\u2010\u2011":
        return "-"
    if char in "\u2019\u02bc\uff07":
        return "'"
    if char in "\u066b\u066c":  # Arabic decimal and thousands separators
        return "." if char == "\u066b" else ","
    width, _, code = unicodedata.decomposition(char).partition(" ")
    return chr(int(code, 16)) if width in ("<wide>", "<narrow>") else char


_UNIFIED = _Unified()


@dataclass(frozen=True)
class _Word:
    text: str
    """As written, without punctuation."""
    article: bool


def _words(text: str) -> list[_Word]:
    written = unicodedata.normalize("NFC", text.translate(_UNIFIED))
    written = regex.sub(r"\u2013(?=\d)", "-", written)
    found = list(_TOKEN.finditer(written))
    words: list[_Word] = []
    for number, each in enumerate(found):
        before = written[found[number - 1].end() if number else 0 : each.start()]
        after = found[number + 1] if number + 1 < len(found) else None
        gap = written[each.end() : after.start()] if after is not None else ""
        begins = number == 0 or any(mark in before for mark in ".!?:\n。")
        article = after is not None and _is_article(each[0], after[0], gap, begins=begins)
        words.extend(_Word(part, article) for part in _parts(each[0]))
    return words


def _is_article(word: str, after: str, gap: str, *, begins: bool) -> bool:
    """Whether a word only leads the next one in. `A` inside a sentence, or before `and` or `is`, is a letter."""
    if word.lower() not in ARTICLES or gap.strip() or len(after) < 2:
        return False
    if word.lower() == "a" and after.lower() in NOT_BEHIND_ARTICLES:
        return False
    return word != "A" or begins


def _parts(token: str) -> list[str]:
    """The token as it is compared; a list of numbers without spaces (`1,2,3`) is its numbers."""
    token = _JOINTS.sub("", token.strip("_"))
    token = _THOUSANDS.sub(lambda found: found[1].replace(",", ""), token)
    if regex.match(r"[-+]?\.\d", token):
        token = token.replace(".", "0.", 1)
    return token.split(",") if token.count(",") > 1 else [token] * bool(token)


def words_of(text: str, *, ignore_case: bool = True) -> list[str]:
    """The words a text is compared by, articles among them. Empty for a text of punctuation only."""
    return [each.text.casefold() if ignore_case else each.text for each in _words(text)]


def normal_words(text: str) -> list[str]:
    """The words without articles, in one case: SQuAD's normalisation (Rajpurkar et al. 2016), in any script.

    The last word is never an article, so that nothing but punctuation is ever left with no word.
    """
    return [each.text.casefold() for each in _words(text) if not each.article]


def contains(answer: str, reference: str) -> float:
    """1 when the answer contains the reference's words in sequence, with or without articles, else 0."""
    if not words_of(reference):
        return float(answer.strip() == reference.strip())
    if _stands_in(normal_words(answer), normal_words(reference)):
        return 1.0
    whole = words_of(reference)
    return float(not ARTICLES.issuperset(whole) and _stands_in(words_of(answer), whole))


def _stands_in(words: Sequence[str], wanted: Sequence[str]) -> bool:
    return any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))


def f1(answer: str, reference: str) -> float:
    """Harmonic mean of word precision and recall, counting repeats (SQuAD)."""
    words, wanted = normal_words(answer), normal_words(reference)
    if not words or not wanted:
        return float(answer.strip() == reference.strip())
    common = sum((Counter(words) & Counter(wanted)).values())
    return 2 * common / (len(words) + len(wanted))


def exact_match(answer: str, reference: str, *, ignore_case: bool = False, ignore_punctuation: bool = False) -> float:
    """1 for equal texts; without punctuation: for equal words."""
    if ignore_punctuation and words_of(reference):
        equal = words_of(answer, ignore_case=ignore_case) == words_of(reference, ignore_case=ignore_case)
        return float(equal)
    if ignore_case:
        return float(answer.casefold() == reference.casefold())
    return float(answer == reference)


def vanishes(reference: str) -> bool:
    """Whether nothing of the reference is left to compare: it is punctuation only."""
    return not _words(reference)
