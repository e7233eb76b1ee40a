"""Properties of answers besides their scores: equal to the baseline's, all the same, cut off, blank. No judgement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.comparison.flips import Reader
from harness.records.columns import NO_TEXT, Answers, Floats, Indices, Mask
from harness.samples.pairs import Pairs

SHOWN = 40
"""Characters of an answer that is named in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Usual:
    """The answer that one side gives most often."""

    count: int
    says: str
    """The text, or the option's number with an example; cut to `SHOWN` characters."""


@dataclass(frozen=True, kw_only=True)
class Marked:
    """On how many items each side's answer has a mark."""

    baseline: int
    candidate: int
    new: int
    """Items on which only the candidate's has it."""
    gone: int
    """Items on which only the baseline's has it."""


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """Both sides' answers to the n items of one task."""

    task: str
    kind: Literal["choice", "generate", "perplexity"]
    n: int
    equal: int
    """Items with the same answer to the last bit: every log-likelihood, the document's, or the generated text."""
    usual: Usual | None = None
    baseline_usual: Usual | None = None
    """Both None for documents."""
    blank: Marked | None = None
    cut: Marked | None = None
    """Generation only: answers without a visible character, and those that ended at the token limit; None where an
    import's files do not say how answers ended."""
    alike: Marked | None = None
    """Items whose several answers are all the same text; None where an item has one answer."""
    cut_right: Mapping[str, int] | None = None
    """By metric where more is better: answers of the candidate that were cut off and yet score above 0."""


def behaviour(task: str, pairs: Pairs, read: Reader, *, lower_is_better: tuple[str, ...]) -> Behaviour | None:
    """How both sides answered; None where no item could be asked. Reads two records in full, to name an answer."""
    left, right = pairs.baseline, pairs.candidate
    count = pairs.places.size
    if not count:
        return None
    if (right.texts != NO_TEXT).any() or (left.texts != NO_TEXT).any():
        cut_right = {
            name: int((right.cut & (values > 0)).sum())
            for name, values in right.metrics.items()
            if name not in lower_is_better
        }
        return Behaviour(
            task=task,
            kind="generate",
            n=count,
            equal=int((left.texts == right.texts).sum()),
            usual=_usual(right.texts, right.texts != NO_TEXT, read, side=1),
            baseline_usual=_usual(left.texts, left.texts != NO_TEXT, read, side=0),
            blank=_marked(left.blank, right.blank),
            cut=None if (left.end_unknown | right.end_unknown).any() else _marked(left.cut, right.cut),
            cut_right=cut_right,
            alike=None
            if left.repeats is None or right.repeats is None
            else _marked(left.repeats.alike, right.repeats.alike),
        )
    if (left.options > 0).any():
        chosen = _chosen(left), _chosen(right)
        return Behaviour(
            task=task,
            kind="choice",
            n=count,
            equal=int(_same_likelihoods(left, right).sum()),
            usual=_usual(chosen[1], chosen[1] >= 0, read, side=1),
            baseline_usual=_usual(chosen[0], chosen[0] >= 0, read, side=0),
        )
    documents = zip(left.documents.tolist(), right.documents.tolist(), strict=True)
    same = sum(1 for a, b in documents if a is not None and b is not None and a.nll is not None and a.nll == b.nll)
    return Behaviour(task=task, kind="perplexity", n=count, equal=same)


def _marked(left: Mask, right: Mask) -> Marked:
    return Marked(
        baseline=int(left.sum()),
        candidate=int(right.sum()),
        new=int((right & ~left).sum()),
        gone=int((left & ~right).sum()),
    )


def _tables(answers: Answers, among: Mask) -> Iterator[tuple[Indices, Floats]]:
    """The items of `among` by their number of options: places, [m], and log-likelihoods, [m, options]."""
    for count in np.unique(answers.options[among]).tolist():
        members = np.flatnonzero(among & (answers.options == count))
        yield members, answers.likelihoods[answers.first_option[members][:, None] + np.arange(count)]


def _same_likelihoods(left: Answers, right: Answers) -> Mask:
    """Items whose options have equal log-likelihoods, every one, [n]. NaN is no one's equal."""
    same = np.zeros(left.options.size, dtype=np.bool_)
    among = (left.options == right.options) & (left.options > 0)
    for (members, ours), (_, theirs) in zip(_tables(left, among), _tables(right, among), strict=True):
        same[members] = (ours == theirs).all(axis=1)
    return same


def _chosen(answers: Answers) -> Indices:
    """The number of the most likely option, the first of equals, [n]; -1 where there is none."""
    chosen = np.full(answers.options.size, -1, dtype=np.int64)
    for members, values in _tables(answers, answers.options > 0):
        known = np.where(np.isnan(values), -np.inf, values)
        chosen[members] = np.where(np.isinf(known).all(axis=1), -1, known.argmax(axis=1))
    return chosen


def _usual(given: Indices, answered: Mask, read: Reader, *, side: Literal[0, 1]) -> Usual | None:
    """The most frequent of `given`, [n], over the answered items."""
    values, counts = np.unique(given[answered], return_counts=True)
    if not values.size:
        return None
    most = int(counts.argmax())
    place = np.flatnonzero(answered & (given == values[most]))[:1]
    [(planned, *records)] = read(place)
    record = records[side]
    if record.answer is not None:
        return Usual(count=int(counts[most]), says=_short(record.answer.text))
    number = int(values[most])
    example = f" ({_short(planned.options[number])} in {planned.item})" if number < len(planned.options) else ""
    return Usual(count=int(counts[most]), says=f"option {number + 1}{example}")


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…")
