"""Metrics of answers without a reference, from what every stored run holds: cut off, equal, where two answers part."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from harness.metrics.row import AnsweredPairs, FromAnswers, Metric

if TYPE_CHECKING:
    from harness.metrics.row import Floats
    from harness.records.columns import Answers

Values = Callable[[AnsweredPairs], "tuple[Floats, Floats] | None"]


def _cut(pairs: AnsweredPairs) -> tuple[Floats, Floats] | None:
    """None where imported files do not say how every answer ended."""
    if (pairs.baseline.end_unknown | pairs.candidate.end_unknown).any():
        return None
    baseline, candidate = _ones(pairs)
    return baseline * _cut_share(pairs.baseline), candidate * _cut_share(pairs.candidate)


def _cut_share(answers: Answers) -> Floats:
    """Of an item's answers those that were cut off, [n]."""
    several = 1 if answers.repeats is None else answers.repeats.counts.clip(1)
    share: Floats = answers.cuts / several
    return share


def _tokens(pairs: AnsweredPairs) -> tuple[Floats, Floats] | None:
    """None where an import does not say how many an answer has."""
    import numpy as np

    from harness.records.columns import NO_TEXT

    for answers in (pairs.baseline, pairs.candidate):
        if (np.isnan(answers.tokens) & (answers.texts != NO_TEXT)).any():
            return None
    return pairs.baseline.tokens, pairs.candidate.tokens


def _identical(pairs: AnsweredPairs) -> tuple[Floats, Floats]:
    baseline, candidate = _ones(pairs)
    return baseline, candidate * (pairs.baseline.texts == pairs.candidate.texts)


def _ones(pairs: AnsweredPairs) -> tuple[Floats, Floats]:
    """1 for every answer there is, NaN where there is none."""
    import numpy as np

    from harness.records.columns import NO_TEXT

    baseline, candidate = (np.where(each.texts == NO_TEXT, np.nan, 1.0) for each in (pairs.baseline, pairs.candidate))
    return baseline, candidate


def _by_text(alike: Callable[[str, str], float]) -> Values:
    """An answer agrees with itself; texts are read only where they differ, one pair after the other."""

    def values(pairs: AnsweredPairs) -> tuple[Floats, Floats]:
        import numpy as np

        baseline, candidate = _ones(pairs)
        other = (pairs.baseline.texts != pairs.candidate.texts) & np.isfinite(baseline + candidate)
        for pair, one, two in pairs.texts(np.flatnonzero(other)):
            found = [alike(left, right) for left, right in zip(one, two, strict=False)]
            candidate[pair] = sum(found) / max(1, len(found))
        return baseline, candidate

    return values


def common_prefix(one: str, two: str) -> float:
    """Characters up to the first difference, over those of the longer text."""
    shorter, longer = sorted((one, two), key=len)
    low, high = 0, len(shorter)
    while low < high:  # equal up to `low`
        middle = (low + high + 1) // 2
        low, high = (middle, high) if longer.startswith(shorter[:middle]) else (low, middle - 1)
    return low / len(longer) if longer else 1.0


def edit_similarity(one: str, two: str) -> float:
    """1 minus Levenshtein's distance over the length of the longer text, in characters."""
    from rapidfuzz.distance import Levenshtein

    return float(Levenshtein.normalized_similarity(one, two))


def _metric(
    name: str,
    description: str,
    computed: FromAnswers,
    *,
    kind: Literal["binary", "graded"] = "graded",
    less: bool = False,
) -> Metric:
    return Metric(
        name=name,
        kind=kind,
        unit="fraction",
        description=description,
        computed=computed,
        higher_is_better=not less,
        neutral=0.0 if less else 1.0,
    )


AGREEMENT = (
    Metric(
        name="length_ratio",
        kind="ratio",
        unit="tokens",
        description="tokens of answers, candidate over baseline",
        computed=FromAnswers(of="generate", values=_tokens, stored="answer.tokens"),
        neutral=1.0,
    ),
    _metric(
        "truncated_rate",
        "share of answers that ended at the token limit",
        FromAnswers(of="generate", values=_cut, stored="answer.finish"),
        kind="binary",
        less=True,
    ),
    _metric(
        "identical",
        "share of answers that equal the baseline's",
        FromAnswers(of="generate", values=_identical, stored="answer.text", agreement=True),
        kind="binary",
    ),
    _metric(
        "first_divergence",
        "share of an answer, in characters, before it parts from the baseline's",
        FromAnswers(of="generate", values=_by_text(common_prefix), stored="answer.text", agreement=True),
    ),
    _metric(
        "edit_similarity",
        "1 minus the edit distance to the baseline's answer over the length of the longer one",
        FromAnswers(of="generate", values=_by_text(edit_similarity), stored="answer.text", agreement=True),
    ),
)
"""They need no reference: the baseline's own answer is what an answer is compared with."""
