"""Overlap and similarity of calibration data and evaluation items.

A model that was calibrated on the items it is judged by looks better than it is: an item that occurs verbatim in the
calibration data makes a verdict INVALID.
"""

from __future__ import annotations

import hashlib
import math
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from harness.planning.task_plan import TaskPlan
from harness.records.run_manifest import GRAM, SHORT_GRAM, CalibrationOverlap

LEAST_WORDS = 4
"""Texts shorter than this mean nothing when they are found elsewhere: `yes`, `Paris`."""
CHARACTERS_A_WORD = 2
"""In scripts without spaces a character stands for half a word: a text counts from 8 characters, a passage from 26
(16 for short items). Chinese words are 1 to 2 characters long; Thai ones are longer, so there shorter passages count.
"""
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_UNIT = re.compile(rf"[{_SPACELESS}][^\s\w]*|[^\s{_SPACELESS}]+")
_SPACELESS_UNIT = re.compile(rf"[{_SPACELESS}]")


def overlap_with(plan: TaskPlan, texts: Sequence[str]) -> CalibrationOverlap:
    """Compare the items of a task with the calibration texts."""
    known = {_digest(text) for text in texts}
    units = [_units(text) for text in texts]
    grams = {size: {gram for each in units for gram in _grams(each, size)} for size in (GRAM, SHORT_GRAM)}
    items: dict[str, list[str]] = {}
    for each in plan.texts:
        items.setdefault(each.item, []).append(each.text)
    exact, copied = [], []
    for item, own in items.items():
        if any(_words(_units(text)) >= LEAST_WORDS and _digest(text) in known for text in own):
            exact.append(item)
            continue
        longest = max((_units(text) for text in own), key=_words)
        size = GRAM if _words(longest) >= GRAM else SHORT_GRAM
        if any(gram in grams[size] for gram in _grams(longest, size)):
            copied.append(item)
    evaluated = [" ".join(own) for own in items.values()]
    return CalibrationOverlap(
        task=plan.name,
        items=len(items),
        exact=len(exact),
        exact_items=tuple(exact),
        copied=len(copied),
        copied_items=tuple(copied),
        distance=distance(texts, evaluated),
        calibration_words=statistics.median(_words(each) for each in units),
        evaluation_words=statistics.median(_words(_units(text)) for text in evaluated),
    )


def distance(one: Sequence[str], other: Sequence[str]) -> float:
    """Jensen–Shannon distance of two texts' word frequencies, to base 2: 0 for equal, 1 for no word in common."""
    p, q = (Counter(word for text in texts for word in _units(text)) for texts in (one, other))
    size_p, size_q = sum(p.values()), sum(q.values())
    if not size_p or not size_q:
        return 1.0
    terms = []
    for word in p.keys() | q.keys():
        a, b = p[word] / size_p, q[word] / size_q
        middle = (a + b) / 2
        terms.append((a * math.log2(a / middle) if a else 0.0) + (b * math.log2(b / middle) if b else 0.0))
    # Words come in another order in every process; an exact sum is the same in all of them.
    return math.sqrt(min(1.0, max(0.0, math.fsum(terms) / 2)))


def _fold(text: str) -> str:
    """NFKC, lower case, white space folded."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def _digest(text: str) -> str:
    return hashlib.sha256(_fold(text).encode()).hexdigest()


def _units(text: str) -> list[str]:
    """Words; where a script has no spaces between them, characters with the punctuation behind them."""
    return _UNIT.findall(_fold(text))


def _words(units: Sequence[str]) -> float:
    """Length in words."""
    spaceless = sum(1 for each in units if _SPACELESS_UNIT.match(each))
    return len(units) - spaceless + spaceless / CHARACTERS_A_WORD


def _grams(units: Sequence[str], size: int) -> Iterator[str]:
    """Every shortest run of units from one of them on that is `size` words long."""
    halves = [1 if _SPACELESS_UNIT.match(each) else CHARACTERS_A_WORD for each in units]
    end = length = 0
    for start, own in enumerate(halves):
        while length < size * CHARACTERS_A_WORD and end < len(units):
            length += halves[end]
            end += 1
        if length < size * CHARACTERS_A_WORD:
            return
        yield " ".join(units[start:end])
        length -= own
