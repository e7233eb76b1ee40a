"""How much calibration data and evaluation items have in common, and how alike they are.

A model that was calibrated on the items it is judged by looks better than it is: an item that stands in the calibration
data word for word makes a verdict INVALID.
"""

from __future__ import annotations

import hashlib
import math
import statistics
import unicodedata
from collections import Counter
from collections.abc import Sequence

from harness.plan.build import TaskPlan
from harness.records.models import GRAM, SHORT_GRAM, CalibrationOverlap

LEAST_WORDS = 4
"""Texts shorter than this say nothing when they are found elsewhere: `yes`, `Paris`."""


def overlap_with(plan: TaskPlan, texts: Sequence[str]) -> CalibrationOverlap:
    """Compare the items of a task with the calibration texts."""
    known = {_digest(text) for text in texts}
    words = [_fold(text).split() for text in texts]
    grams = {size: {gram for each in words for gram in _grams(each, size)} for size in (GRAM, SHORT_GRAM)}
    items: dict[str, list[str]] = {}
    for each in plan.texts:
        items.setdefault(each.item, []).append(each.text)
    exact, copied = [], []
    for item, own in items.items():
        folded = [_fold(text).split() for text in own]
        if any(len(each) >= LEAST_WORDS and _digest(" ".join(each)) in known for each in folded):
            exact.append(item)
            continue
        longest = max(folded, key=len)
        size = GRAM if len(longest) >= GRAM else SHORT_GRAM
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
        calibration_words=statistics.median(len(each) for each in words),
        evaluation_words=statistics.median(len(text.split()) for text in evaluated),
    )


def distance(one: Sequence[str], other: Sequence[str]) -> float:
    """Jensen–Shannon distance of two texts' word frequencies, to base 2: 0 for equal, 1 for no word in common."""
    p, q = (Counter(word for text in texts for word in _fold(text).split()) for texts in (one, other))
    size_p, size_q = sum(p.values()), sum(q.values())
    if not size_p or not size_q:
        return 1.0
    total = 0.0
    for word in p.keys() | q.keys():
        a, b = p[word] / size_p, q[word] / size_q
        middle = (a + b) / 2
        total += (a * math.log2(a / middle) if a else 0.0) + (b * math.log2(b / middle) if b else 0.0)
    return math.sqrt(max(0.0, total / 2))


def _fold(text: str) -> str:
    """NFKC, lower case, white space folded."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def _digest(text: str) -> str:
    return hashlib.sha256(_fold(text).encode()).hexdigest()


def _grams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]
