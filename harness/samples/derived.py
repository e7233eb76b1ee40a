"""Metrics that follow from stored answers, paired like those that were stored. Asks nothing, and reads texts only where
they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from harness.metrics.row import AnsweredPairs, FromAnswers
from harness.metrics.table import derived
from harness.records.columns import NO_TEXT, Answers, Indices
from harness.records.store import Store
from harness.samples.given_answers import Given
from harness.samples.pairs import PairedMetric, Pairs, paired_values

BLANK = -1
"""In `Given.said`: an answer without a visible character."""
Texts = Callable[[Indices], Iterable[tuple[int, tuple[str, ...], tuple[str, ...]]]]
"""Of pairs, in any order: the pair and all of both sides' answers to it."""


def stored_texts(store: Store, keys: tuple[str, str], pairs: Pairs) -> Texts:
    """Reads the generated texts of both sides, from the evaluations with these keys, one pair after the other."""

    def read(wanted: Indices) -> Iterator[tuple[int, tuple[str, ...], tuple[str, ...]]]:
        ours, theirs = (each.in_stored_order(wanted) for each in (pairs.baseline, pairs.candidate))
        left = store.texts(keys[0], pairs.baseline, ours)
        right = store.texts(keys[1], pairs.candidate, theirs)
        if (ours == theirs).all():
            yield from zip(ours.tolist(), left, right, strict=True)
            return
        known = dict(zip(ours.tolist(), left, strict=True))
        yield from ((pair, known[pair], text) for pair, text in zip(theirs.tolist(), right, strict=True))

    return read


def derived_metrics(
    task: str, kind: Literal["choice", "generate", "perplexity"], pairs: Pairs, texts: Texts
) -> tuple[PairedMetric, ...]:
    """Those that a task of this kind has, in the table's order; none where the records lack what they need."""
    if not pairs.places.size or any(_scored_unseen(each, kind) for each in (pairs.baseline, pairs.candidate)):
        return ()
    answered = AnsweredPairs(
        baseline=pairs.baseline, candidate=pairs.candidate, plan=pairs.plan, places=pairs.places, texts=texts
    )
    found = []
    for row in derived(kind):
        assert isinstance(row.computed, FromAnswers)
        values = row.computed.values(answered)
        if values is not None:
            assert row.kind in ("binary", "graded", "ratio")
            guess = None if row.computed.guess is None else row.computed.guess(answered)
            higher, way = row.higher_is_better, row.kind
            found.append(paired_values(task, row.name, pairs, values, kind=way, higher_is_better=higher, guess=guess))
    if kind != "generate":
        return tuple(found)
    before, after = (_given(each) for each in (pairs.baseline, pairs.candidate))
    return tuple(replace(each, baseline_given=before, candidate_given=after) for each in found)


def _scored_unseen(answers: Answers, kind: Literal["choice", "generate", "perplexity"]) -> bool:
    """Whether there are items with a score and no answer: an import's files may hold scores alone."""
    unseen = answers.texts == NO_TEXT if kind == "generate" else answers.options == 0
    return any(bool((unseen & np.isfinite(values)).any()) for values in answers.metrics.values())


def _given(answers: Answers) -> Given:
    """Which answer was given to each item; all that show nothing are one."""
    said = np.where(answers.blank, BLANK, answers.texts)
    return Given(said=said, tied=np.zeros(said.size, dtype=np.bool_))
