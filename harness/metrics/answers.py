"""Metrics of answers: options chosen by likelihood, and generated text against its references."""

from __future__ import annotations

from harness.metrics.row import Metric, OptionScore, Strictness, TextScore


def _exact_match(answer: str, reference: str, strictness: Strictness) -> float:
    from harness.metrics.words import exact_match

    return exact_match(
        answer,
        reference,
        ignore_case=strictness.ignore_case,
        ignore_punctuation=strictness.ignore_punctuation,
    )


def _contains(answer: str, reference: str, _: Strictness) -> float:
    from harness.metrics.words import contains

    return contains(answer, reference)


def _f1(answer: str, reference: str, _: Strictness) -> float:
    from harness.metrics.words import f1

    return f1(answer, reference)


def marks_options(name: str) -> bool:
    """Whether a metric of this name, lm-eval's own included, asks whether the chosen option is right."""
    return name.startswith("acc")


def compares_text(name: str) -> bool:
    """Whether a metric of this name asks whether the reference would be written out, which nobody guesses."""
    return name.startswith(EXACT_MATCH.name)


def _answer(name: str, description: str, computed: OptionScore | TextScore, *, graded: bool = False) -> Metric:
    return Metric(
        name=name,
        kind="graded" if graded else "binary",
        unit="fraction",
        description=description,
        computed=computed,
        higher_is_better=True,
    )


EXACT_MATCH = _answer(
    "exact_match",
    "answer equals the reference",
    TextScore(score=_exact_match, by_words=lambda strictness: strictness.ignore_punctuation),
)
ANSWERS = (
    _answer("acc", "share of items answered right", OptionScore()),
    _answer("acc_norm", "acc with the log-likelihood per character", OptionScore(per_character=True)),
    EXACT_MATCH,
    _answer("contains", "answer contains the reference", TextScore(score=_contains, by_words=lambda strictness: True)),
    _answer(
        "f1", "word overlap F1 with the reference", TextScore(score=_f1, by_words=lambda strictness: True), graded=True
    ),
)
