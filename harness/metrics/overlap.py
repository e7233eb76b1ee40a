"""Metrics of text overlap by the libraries that define them: ROUGE by rouge-score, BLEU and chrF by sacrebleu.

Each library is imported when an answer is scored. Values are fractions, also of BLEU and chrF, which others give out of
100.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.metrics.row import Metric, Strictness, TextScore

if TYPE_CHECKING:
    from collections.abc import Callable

_WORD = re.compile(r"[a-z0-9]")


@cache
def _rouge(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind])


@cache
def _sacrebleu(name: str) -> Any:
    import sacrebleu

    return sacrebleu.BLEU(effective_order=True) if name == "bleu" else sacrebleu.CHRF()


def _of_rouge(kind: str) -> Callable[[str, str, Strictness], float]:
    def score(answer: str, reference: str, _: Strictness) -> float:
        return float(_rouge(kind).score(reference, answer)[kind].fmeasure)

    return score


def _of_sacrebleu(name: str) -> Callable[[str, str, Strictness], float]:
    def score(answer: str, reference: str, _: Strictness) -> float:
        return float(_sacrebleu(name).sentence_score(answer, [reference]).score) / 100

    return score


def _latin(reference: str) -> bool:
    return _WORD.search(reference.lower()) is not None


def _graded(name: str, description: str, computed: TextScore) -> Metric:
    return Metric(
        name=name, kind="graded", unit="fraction", description=description, computed=computed, higher_is_better=True
    )


def _rouge_row(kind: str, compared: str) -> Metric:
    computed = TextScore(
        score=_of_rouge(kind),
        by_words=lambda strictness: False,
        reads=_latin,
        read="letters a–z and digits",
        library="rouge_score",
    )
    return _graded(kind, f"ROUGE F1 of {compared} (rouge-score, no stemming)", computed)


def _sentence_row(name: str, description: str) -> Metric:
    computed = TextScore(score=_of_sacrebleu(name), by_words=lambda strictness: False, library="sacrebleu")
    return _graded(f"sentence_{name}", description, computed)


OVERLAP = (
    _rouge_row("rouge1", "words"),
    _rouge_row("rouge2", "pairs of words"),
    _rouge_row("rougeL", "the longest common subsequence"),
    _sentence_row("bleu", "BLEU of each answer by itself, averaged (sacrebleu)"),
    _sentence_row("chrf", "chrF of each answer by itself, averaged (sacrebleu)"),
)
