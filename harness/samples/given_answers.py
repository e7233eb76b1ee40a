"""Which answer a side gave to each item, as a number: whether it is always the same, and where its best options tie."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.metrics.table import per_character
from harness.records.columns import NO_TEXT, Answers, Floats, Indices, Mask, PlanColumns

HALF = 0.5
"""An answer that comes no more often is not the usual one."""
UNKNOWN = 0
"""In `Given.said`: no answer, or one without a number."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """One side's answers to n items, as one metric sees them."""

    said: Indices
    """A number for the answer, [n]: equal for equal texts; `UNKNOWN` where there is none."""
    tied: Mask
    """Items whose best options have exactly equal likelihoods, [n]: the side has not decided."""
    varies_elsewhere: bool = False
    """Of a slice: the side gives more than one answer on the whole task."""
    usual_elsewhere: float | None = None
    """Of a slice: the share of the most frequent answer of the whole task."""

    @property
    def constant(self) -> bool:
        """Whether every item that it decided got the same answer."""
        decided = self.said[~self.tied]
        return bool(decided.size and decided[0] != UNKNOWN and (decided == decided[0]).all())

    @property
    def usual(self) -> int:
        """Items of the most frequent answer, of those that it decided."""
        decided = self.said[~self.tied & (self.said != UNKNOWN)]
        return int(np.unique(decided, return_counts=True)[1].max()) if decided.size else 0

    @property
    def blind(self) -> float:
        """The share of items that one answer to all of them would match. In a slice of a task that has no usual answer
        it is 0: what is usual there depends on the slice."""
        if self.usual_elsewhere is not None and self.usual_elsewhere <= HALF:
            return 0.0
        return self.usual / self.said.size if self.said.size else 0.0

    def only(self, inside: Indices) -> Given:
        """The answers to some of the items."""
        whole = self.usual / self.said.size if self.usual_elsewhere is None and self.said.size else self.usual_elsewhere
        return replace(
            self,
            said=self.said[inside],
            tied=self.tied[inside],
            varies_elsewhere=not self.constant,
            usual_elsewhere=whole,
        )


def given(answers: Answers, plan: PlanColumns, places: Indices, metric: str) -> Given | None:
    """The answers to the items at `places` of the plan; None for documents and for items with a single option.

    `acc_norm` takes the option of the best likelihood per character, every other metric that of the best likelihood.
    """
    if (answers.texts != NO_TEXT).any():
        return Given(said=answers.texts, tied=np.zeros(places.size, dtype=np.bool_))
    counts = plan.options[places]
    which = np.flatnonzero((counts > 1) & (answers.options >= counts))
    if not which.size:
        return None
    counts = counts[which]
    starts = np.cumsum(counts) - counts
    item = np.repeat(np.arange(which.size), counts)
    option = np.arange(item.size) - starts[item]
    offered = plan.first_option[places[which]][item] + option
    values: Floats = answers.likelihoods[answers.first_option[which][item] + option]
    if per_character(metric):
        values = values / np.maximum(1, plan.option_characters[offered])
    values = np.where(np.isnan(values), -np.inf, values)
    top = np.flatnonzero(np.isfinite(values) & (values == np.maximum.reduceat(values, starts)[item]))
    said, tied = np.full(places.size, UNKNOWN, dtype=np.int64), np.zeros(places.size, dtype=np.bool_)
    owner, texts = which[item[top]], plan.option_texts[offered[top]]
    said[owner[::-1]] = texts[::-1]  # the first of equals stays
    same_text = (texts == said[owner]) & (texts != UNKNOWN)
    several = np.bincount(owner, minlength=places.size) > 1
    tied[owner[~same_text]] = True
    return Given(said=said, tied=tied & several)
