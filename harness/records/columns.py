"""Items as columns, for tasks of a million of them: numbers in arrays, prompts and answers left on disk.

Owns which parts of a record and of a plan a comparison computes with, and where to find the rest. Interprets nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.records.arrow import Texts

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
Objects = NDArray[np.object_]

NONE = float("nan")
"""No value, in a column of numbers. Stored numbers are finite, so no value is equal to it."""
NO_TEXT = 0
"""No value, in a column of strings: nothing was generated."""


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """The answers to n items of which some have several."""

    counts: Indices
    """How many answers were generated, [n]."""
    alike: Mask
    """Several answers, all with the same text, [n]."""
    scores: Floats
    """What the task's first metric gives for every answer, one item's after the other's; `NONE` where that is not
    stored."""
    first: Indices
    """Where an item's answers begin in `scores`, [n]."""

    def taken(self, order: Indices) -> Repeats:
        """The items at `order`, in that order."""
        return Repeats(counts=self.counts[order], alike=self.alike[order], scores=self.scores, first=self.first[order])

    def every_score(self) -> Floats:
        """The scores of these items' answers, one item's after the other's."""
        whose = np.repeat(np.arange(self.counts.size), self.counts)
        repeat = np.arange(whose.size) - np.repeat(np.cumsum(self.counts) - self.counts, self.counts)
        found: Floats = self.scores[self.first[whose] + repeat]
        return found

    @property
    def spread(self) -> Floats:
        """Variance of each item's scores, with n - 1 in the denominator, [n]; `NONE` for one answer, and where scores
        are not stored."""
        return variances(self.every_score(), self.counts)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """A variant's results on n items, without the items' ids."""

    metrics: Mapping[str, Floats]
    """Metric to its values, [n]; `NONE` where the harness has none."""
    unmeasured: Mapping[str, Mask]
    """Metric to the items whose record lacks it, [n]."""
    likelihoods: Floats
    """Log-likelihood in nats of every option of every item, one item's after the other's; `NONE` where not finite."""
    first_option: Indices
    """Where an item's options begin in `likelihoods`, [n]."""
    options: Indices
    """How many options an item has, [n]."""
    texts: Indices
    """A number for the generated text, or for all of an item's, [n]: equal for equal texts, others for others;
    `NO_TEXT` for no answer."""
    blank: Mask
    """A generated answer without a visible character, [n]; of several, at least half."""
    end_unknown: Mask
    """A generated answer of which the record does not say how it ended, [n]: an import's files may not."""
    cut: Mask
    """A generated answer that ended at the token limit, [n]; of several, at least half."""
    tokens: Floats
    """Generated tokens, of several answers together, [n]; `NONE` for no answer."""
    cuts: Indices
    """How many answers ended at the token limit, [n]."""
    repeats: Repeats | None
    """The several answers to an item; None where no item has more than one."""
    parts: Mapping[str, Floats] = field(default_factory=dict)
    """Metric of the whole to what each item adds to its sums, [n, k]; `NONE` where an item has none."""
    documents: Objects
    """`DocumentScore` or None, [n]."""
    chunks: Indices
    """Byte offset of the chunk that holds the item's record, [n]."""
    places: Indices
    """Place of the record in its chunk, [n]."""

    def taken(self, order: Indices) -> Answers:
        """The items at `order`, in that order."""
        return Answers(
            metrics={name: values[order] for name, values in self.metrics.items()},
            unmeasured={name: mask[order] for name, mask in self.unmeasured.items()},
            likelihoods=self.likelihoods,
            first_option=self.first_option[order],
            options=self.options[order],
            texts=self.texts[order],
            blank=self.blank[order],
            end_unknown=self.end_unknown[order],
            cut=self.cut[order],
            tokens=self.tokens[order],
            cuts=self.cuts[order],
            repeats=None if self.repeats is None else self.repeats.taken(order),
            parts={name: values[order] for name, values in self.parts.items()},
            documents=self.documents[order],
            chunks=self.chunks[order],
            places=self.places[order],
        )

    def in_stored_order(self, which: Indices) -> Indices:
        """The same items in the order in which their records are stored."""
        return which[np.lexsort((self.places[which], self.chunks[which]))]

    def offered(self, which: Indices) -> tuple[Indices, Indices, Floats]:
        """The options of the items at `which`, one item's after the other's: the place in `which`, the option's
        number in its item, and its log-likelihood."""
        counts = self.options[which]
        starts = np.cumsum(counts) - counts
        item = np.repeat(np.arange(which.size), counts)
        option = np.arange(item.size) - starts[item]
        return item, option, self.likelihoods[self.first_option[which][item] + option]


@dataclass(frozen=True, kw_only=True)
class ItemColumns:
    """One evaluation in stored order."""

    items: Texts
    prompt_hashes: Texts
    answers: Answers


@dataclass(frozen=True)
class Labels:
    """A text for each of n items, few of them different."""

    names: Sequence[str]
    """Every different text."""
    codes: Indices
    """Which of `names` an item has, [n]; -1 for none."""


@dataclass(frozen=True, kw_only=True)
class PlanColumns:
    """One plan of n items in its own order."""

    items: Texts
    prompt_hashes: Texts
    fits: Mask
    """[n]; False for an item too long for the model's context."""
    bytes: Floats
    """UTF-8 bytes of the scored text, [n]."""
    words: Floats | None = None
    """Words of the scored text, [n]; None where they were not counted."""
    slices: Mapping[str, Labels]
    """By field, in the items' own order of fields."""
    clusters: Indices
    """A number for each cluster, [n]; -1 for an item in none."""
    is_right: Mask
    """Of every option of every item, one item's after the other's: is it the expected answer?"""
    option_texts: Indices
    """A number for the text of every option, as in `is_right`: equal for equal texts, from 1; 0 for what comes after
    the plan's first thousand different texts."""
    option_characters: Indices
    """Length of every option's text, as in `is_right`."""
    first_option: Indices
    """Where an item's options begin in `is_right`, [n]."""
    options: Indices
    """How many options an item has, [n]."""
    lines: Indices
    """Byte offset of the item's line in the plan's file, [n]."""


def variances(values: Floats, counts: Indices) -> Floats:
    """Of the `counts` values of each item, [n], with one less in the denominator; `NONE` for fewer than two."""
    whose = np.repeat(np.arange(counts.size), counts)
    means = np.bincount(whose, weights=values, minlength=counts.size) / np.maximum(counts, 1)
    squares = np.bincount(whose, weights=(values - means[whose]) ** 2, minlength=counts.size)
    found: Floats = np.where(counts > 1, squares / np.maximum(counts - 1, 1), NONE)
    return found
