"""Metrics of generated text that lm-eval does not score item by item: containment and word-overlap F1."""

from __future__ import annotations

import re
import string
from collections import Counter

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normal_words(text: str) -> list[str]:
    """Lower case, no punctuation, no articles: the normalisation of SQuAD's evaluation (Rajpurkar et al. 2016)."""
    lowered = "".join(char for char in text.lower() if char not in string.punctuation)
    return _ARTICLES.sub(" ", lowered).split()


def contains(answer: str, reference: str) -> float:
    """1 when the reference's words appear in the answer in one run, else 0."""
    words, wanted = normal_words(answer), normal_words(reference)
    if not wanted:
        return 0.0
    found = any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))
    return float(found)


def f1(answer: str, reference: str) -> float:
    """Harmonic mean of word precision and recall, counting repeats (SQuAD)."""
    words, wanted = normal_words(answer), normal_words(reference)
    if not words or not wanted:
        return float(words == wanted)
    common = sum((Counter(words) & Counter(wanted)).values())
    return 2 * common / (len(words) + len(wanted))
