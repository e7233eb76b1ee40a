"""Strict pairing, once: the baseline's and the candidate's items of one task.

A missing partner, a duplicate, a different prompt or a count that differs from the plan is a `PairingError` here;
nothing downstream checks again. Owns arrays in memory, writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from harness.metrics.answers import compares_text, marks_options
from harness.metrics.table import lookup
from harness.records.columns import Answers, Floats, Indices, ItemColumns, Mask, PlanColumns, Repeats, variances
from harness.samples.given_answers import Given, given

MIN_ANSWERS = 2
"""Fewer have no variance."""


class PairingError(Exception):
    """Two evaluations that cannot be compared item by item; the message says at which item and why."""


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """Why an evaluation does not fit its plan."""

    place: int
    """The first planned item concerned; -1 for the evaluation as a whole."""
    says: str
    """What the variant did, without its name."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One evaluation joined with its plan of n items."""

    answers: Answers
    """In stored order."""
    order: Indices
    """Place in `answers` of each planned item, [n]; -1 for one that was not asked. Means nothing when there is a
    misfit."""
    misfit: Misfit | None


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The items of a task that both sides answered, n of them, in plan order."""

    plan: PlanColumns
    places: Indices
    """Place of each pair in the plan, [n]."""
    baseline: Answers
    candidate: Answers

    def name(self, pair: int) -> str:
        """The item's id."""
        return self.plan.items[int(self.places[pair])]

    @cached_property
    def slices(self) -> Mapping[str, Indices]:
        """`field=value` to the pairs in it, in order of first appearance."""
        return slice_members(self.plan, self.places)

    @cached_property
    def clusters(self) -> Indices | None:
        """Cluster labels from 0 in order of first appearance, [n]; None when the task names no cluster."""
        return _clusters(self.plan.clusters[self.places])


@dataclass(frozen=True, kw_only=True)
class PairedMetric:
    """A per-item metric over all pairs. `baseline`, `candidate`: [n]; `clusters`: [n] labels or None."""

    task: str
    metric: str
    kind: Literal["binary", "graded", "ratio"]
    """`ratio`: the candidate's sum over the baseline's is looked at."""
    higher_is_better: bool
    baseline: Floats
    candidate: Floats
    clusters: Indices | None
    slices: Mapping[str, Indices]
    """`field=value` to the pairs in it."""
    failing: Mask
    """Items on which the candidate failed, [n]; they are in `candidate` with the worst value."""
    guess: Floats | None
    """The score of guessing on each item, [n]: one over its options. None where the items have none."""
    baseline_failed: tuple[str, ...]
    """Items on which the baseline failed: the comparison is INVALID when there is one."""
    spread: Floats | None = None
    """Variance of the scores of the baseline's several answers to each item, [n]; None but for the task's first metric,
    and where there is one answer an item."""
    within: float | None = None
    """Mean variance, over the items, of the difference of two answers with the same random numbers; None as `spread`,
    and where the sides have unequal numbers of answers."""
    answers: int = 1
    """The most that the baseline gave to an item; of several, the values are means over them."""
    baseline_given: Given | None = None
    candidate_given: Given | None = None
    """The answers given; None for documents and for metrics without a discrete answer."""

    @property
    def count(self) -> int:
        """Pairs."""
        return self.baseline.size

    @property
    def failed(self) -> int:
        """Items on which the candidate failed."""
        return int(self.failing.sum())

    @property
    def sampled(self) -> bool:
        """Whether items were answered several times."""
        return self.answers > 1

    @property
    def flips(self) -> bool:
        """Whether items go from right to wrong: one answer is either, and of several most are."""
        row = lookup(self.metric)
        return self.kind == "binary" or (self.spread is not None and (row is None or row.kind == "binary"))

    @property
    def chance(self) -> float | None:
        """The share that guessing gets right; None where there is nothing to guess from."""
        return None if self.guess is None or not self.guess.size else float(self.guess.mean())

    @property
    def whole(self) -> bool:
        """Whether every value is 0 or 1; False where a tie counts by its share."""
        return bool(np.isin(self.baseline, (0.0, 1.0)).all() and np.isin(self.candidate, (0.0, 1.0)).all())

    @property
    def both(self) -> float:
        """Items that both have right; one that is right by a share counts by it."""
        return _whole(np.minimum(self.baseline, self.candidate).sum())

    @property
    def worse(self) -> float:
        """Items that went from right to wrong, shares counted as in `both`."""
        return _whole(np.maximum(self.drops, 0).sum())

    @property
    def better(self) -> float:
        """Items that went from wrong to right, shares counted as in `both`."""
        return _whole(np.maximum(-self.drops, 0).sum())

    @property
    def drops(self) -> Floats:
        """Harm per item, [n]: positive where the candidate is worse."""
        difference = self.baseline - self.candidate
        return difference if self.higher_is_better else -difference

    def only(self, slice_name: str) -> PairedMetric:
        """The same metric over one slice."""
        return self.taken(self.slices[slice_name])

    def taken(self, inside: Indices) -> PairedMetric:
        """The same metric over some of the pairs, in this order."""
        return PairedMetric(
            task=self.task,
            metric=self.metric,
            kind=self.kind,
            higher_is_better=self.higher_is_better,
            baseline=self.baseline[inside],
            candidate=self.candidate[inside],
            clusters=None if self.clusters is None else self.clusters[inside],
            slices={},
            failing=self.failing[inside],
            guess=None if self.guess is None else self.guess[inside],
            baseline_failed=self.baseline_failed,
            spread=None if self.spread is None else self.spread[inside],
            within=self.within,
            answers=self.answers,
            baseline_given=None if self.baseline_given is None else self.baseline_given.only(inside),
            candidate_given=None if self.candidate_given is None else self.candidate_given.only(inside),
        )


def _whole(value: np.floating) -> float:
    """The sum as an integer where it is one."""
    return int(value) if float(value).is_integer() else float(value)


def align(plan: PlanColumns, columns: ItemColumns, *, stopped: bool = False) -> Side:
    """Find every planned item in an evaluation. `stopped`: it was stopped early and need not have them all."""
    order = columns.items.places_of(plan.items)
    return Side(answers=columns.answers, order=order, misfit=_misfit(plan, columns, order, stopped=stopped))


def _misfit(plan: PlanColumns, columns: ItemColumns, order: Indices, *, stopped: bool) -> Misfit | None:
    """The first thing that keeps an evaluation from fitting its plan."""
    if columns.items.distinct() != len(columns.items):
        seen: set[str] = set()
        twice = next(item for item in columns.items if item in seen or seen.add(item))  # type: ignore[func-returns-value]
        return Misfit(place=-1, says=f"has item {twice!r} twice")
    absent = order < 0
    planned = int((~absent).sum()) if stopped else len(plan.items)
    if len(columns.items) != planned:
        return Misfit(place=-1, says=f"has {len(columns.items)} items, the plan has {planned}")
    if absent.all():
        return None if stopped else Misfit(place=0, says=f"has no answer for planned item {plan.items[0]!r}")
    other = ~columns.prompt_hashes.equal(np.where(absent, 0, order), plan.prompt_hashes)
    unfit = ~absent & other if stopped else absent | other
    if not unfit.any():
        return None
    place = int(unfit.argmax())
    says = "has no answer for planned item" if absent[place] else "was given another prompt for item"
    return Misfit(place=place, says=f"{says} {plan.items[place]!r}")


def pair_items(
    task: str,
    plan: PlanColumns,
    baseline: Side,
    candidate: Side,
    *,
    names: tuple[str, str],
    without: frozenset[str] = frozenset(),
) -> Pairs:
    """Pairs in plan order: the items that could be asked (not too long for the model's context) and, of a side that was
    stopped early, were, less `without`.

    Raises `PairingError` for the first misfit; `names` are the two variants', for its message.
    """
    sides = zip(names, (baseline, candidate), strict=True)
    misfits = [(side.misfit, name) for name, side in sides if side.misfit is not None]
    if misfits:
        misfit, name = min(misfits, key=lambda found: found[0].place)
        raise PairingError(f"{task}: {name} {misfit.says}")
    kept = plan.fits & (baseline.order >= 0) & (candidate.order >= 0)
    if without:
        kept = kept & np.asarray([item not in without for item in plan.items], dtype=np.bool_)
    places = np.flatnonzero(kept)
    return Pairs(
        plan=plan,
        places=places,
        baseline=baseline.answers.taken(baseline.order[places]),
        candidate=candidate.answers.taken(candidate.order[places]),
    )


def slice_members(plan: PlanColumns, places: Indices) -> dict[str, Indices]:
    """`field=value` to which of the items at `places` of the plan are in it, in order of first appearance.

    Linear in items times fields, however many values a field has.
    """
    found: list[tuple[int, int, str, Indices]] = []
    for number, (field, labels) in enumerate(plan.slices.items()):
        codes = labels.codes[places]
        by_value = np.argsort(codes, kind="stable")
        values, starts = np.unique(codes[by_value], return_index=True)
        ends = np.append(starts, codes.size)[1:]
        for value, start, end in zip(values, starts, ends, strict=True):
            if value >= 0:
                found.append((by_value[start], number, f"{field}={labels.names[value]}", by_value[start:end]))
    found.sort(key=lambda each: each[:2])
    return {name: members for _, _, name, members in found}


def _clusters(labels: Indices) -> Indices | None:
    alone = labels < 0
    if alone.all():
        return None
    apart = np.where(alone, labels.max() + 1 + np.arange(labels.size), labels)
    _, first, codes = np.unique(apart, return_index=True, return_inverse=True)
    ranks = np.empty_like(first)
    ranks[np.argsort(first)] = np.arange(first.size)
    by_appearance: Indices = ranks[codes]
    return by_appearance


def paired_metric(task: str, metric: str, pairs: Pairs, *, higher_is_better: bool, first: bool = False) -> PairedMetric:
    """One metric over the pairs. `first`: it is the task's first one, of which every answer's score is stored. A
    candidate's failure takes the worst value seen on the task (0 for fractions)."""
    for answers in (pairs.baseline, pairs.candidate):
        unmeasured = answers.unmeasured[metric]
        if unmeasured.any():
            raise PairingError(f"item {pairs.name(int(unmeasured.argmax()))!r} has no metric {metric!r}")
    values = pairs.baseline.metrics[metric], pairs.candidate.metrics[metric]
    seen = np.concatenate(values)
    finite = seen[np.isfinite(seen)]
    guess = _guess(pairs.plan.options[pairs.places], metric)
    binary = bool(np.isin(finite, (0.0, 1.0)).all()) or (guess is not None and _accuracy(metric, finite))
    found = paired_values(
        task, metric, pairs, values, kind="binary" if binary else "graded", higher_is_better=higher_is_better
    )
    return replace(
        found,
        guess=guess if binary else None,
        spread=pairs.baseline.repeats.spread if first and pairs.baseline.repeats is not None else None,
        within=_within(pairs.baseline.repeats, pairs.candidate.repeats) if first else None,
        baseline_given=given(pairs.baseline, pairs.plan, pairs.places, metric),
        candidate_given=given(pairs.candidate, pairs.plan, pairs.places, metric),
    )


def paired_values(
    task: str,
    metric: str,
    pairs: Pairs,
    values: tuple[Floats, Floats],
    *,
    kind: Literal["binary", "graded", "ratio"],
    higher_is_better: bool,
    guess: Floats | None = None,
) -> PairedMetric:
    """Both sides' values of every pair, [n] each, and what guessing scores on it. A candidate's failure takes the worst
    seen; of a ratio the baseline's own."""
    baseline, candidate = values
    seen = np.concatenate(values)
    finite = seen[np.isfinite(seen)]
    worst: Floats | float
    if kind == "ratio":  # there is no worst, so a failure changes nothing
        worst = np.where(np.isfinite(baseline), baseline, 0.0)
    elif finite.size == 0:
        worst = 0.0
    elif higher_is_better:
        worst = min(0.0, float(finite.min()))
    else:
        worst = max(1.0, float(finite.max()))
    return PairedMetric(
        task=task,
        metric=metric,
        kind=kind,
        higher_is_better=higher_is_better,
        baseline=np.where(np.isfinite(baseline), baseline, worst),
        candidate=np.where(np.isfinite(candidate), candidate, worst),
        clusters=pairs.clusters,
        slices=pairs.slices,
        failing=np.isnan(candidate),
        guess=guess,
        baseline_failed=tuple(pairs.name(pair) for pair in np.flatnonzero(np.isnan(baseline)).tolist()),
        answers=1 if pairs.baseline.repeats is None else int(pairs.baseline.repeats.counts.max(initial=1)),
    )


def _within(left: Repeats | None, right: Repeats | None) -> float | None:
    """Mean variance of the differences of an item's answers, repeat by repeat."""
    if left is None or right is None:
        return None
    counts = left.counts
    if not counts.size or counts.min() < MIN_ANSWERS or (counts != right.counts).any():
        return None
    found = float(variances(left.every_score() - right.every_score(), counts).mean())
    return found if np.isfinite(found) else None


def _accuracy(metric: str, values: Floats) -> bool:
    """Whether these are right or wrong answers of which some count by a share, because their best options tie."""
    return marks_options(metric) and bool(((values >= 0) & (values <= 1)).all())


def _guess(options: Indices, metric: str) -> Floats | None:
    """One over the number of options, [n]; None unless there is a choice. An `exact_match` over options asks whether
    the right one would be written out, which nobody guesses."""
    if not options.size or compares_text(metric) or not ((options > 0).all() and (options > 1).any()):
        return None
    return 1 / options
