"""Paired answers behind a metric of the whole: what each item adds to its sums, for both sides.

Of options from the likelihoods that are stored of every choice task, also of runs made before there were such metrics;
of texts from the parts stored with each answer. Resamples are drawn when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.metrics.corpus import CORPUS, POSITIVE_F1, whole_metric
from harness.metrics.probabilities import ECE, binned, calibration
from harness.metrics.row import AnsweredPairs, Metric, OfClasses, OfTexts
from harness.metrics.sums import calibration_error, calibration_extremes, calibration_inflation
from harness.records.columns import Answers, Floats, Indices, Mask
from harness.samples.pairs import Pairs
from harness.stats.bootstrap import OfSums, Resampled, Sums, best_quarter, resample, summed

Codes = NDArray[np.int16]
NONE = -1
"""No option: the side gave no finite likelihood."""
MOST_CLASSES = 200
"""More different options are contents and no classes."""
BLOCK = 1 << 16
ALL_PAIRS = 30
"""Up to so many classes every mistake is tried as the unseen one; beyond, one for each class."""


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The right option of n items and those that both sides chose, numbered from 0."""

    count: int
    wanted: Codes
    baseline: Codes
    candidate: Codes
    """[n]; `NONE` where a side has decided nothing."""
    of: OfSums

    def taken(self, inside: Indices) -> Classes:
        return replace(
            self, wanted=self.wanted[inside], baseline=self.baseline[inside], candidate=self.candidate[inside]
        )

    def rows(self, wanted: Codes | Indices, given: Codes | Indices) -> Floats:
        """What items add: whether they are right, the option given and the option wanted, [n, 3 classes]."""
        found, place, gave = np.zeros((wanted.size, 3 * self.count)), np.arange(wanted.size), given != NONE
        found[place, wanted] = wanted == given
        found[place[gave], self.count + given[gave]] = 1
        found[place, 2 * self.count + wanted] = 1
        return found

    def sums(self, clusters: Indices | None, *, higher_is_better: bool) -> Sums:
        """Equal items are one row, unless they are in clusters."""
        seen = np.unique(self.wanted)
        pairs = np.array([(c, d) for c in seen for d in seen if c != d] or [(seen[0], NONE)])
        if seen.size > ALL_PAIRS:
            pairs = np.stack([seen, np.roll(seen, 1)], axis=1)
        best, worst = self.rows(pairs[:, 0], pairs[:, 0]), self.rows(pairs[:, 0], pairs[:, 1])
        if clusters is not None:
            left, right = (self.rows(self.wanted, given) for given in (self.baseline, self.candidate))
            return summed(
                left, right, self.of, best=best, worst=worst, clusters=clusters, higher_is_better=higher_is_better
            )
        size = self.count + 1  # a place for `NONE`
        codes = (self.wanted.astype(np.int64) * size + self.baseline + 1) * size + self.candidate + 1
        cells, counts = np.unique(codes, return_counts=True)
        wanted = cells // size**2
        return Sums(
            baseline=self.rows(wanted, cells // size % size - 1),
            candidate=self.rows(wanted, cells % size - 1),
            of=self.of,
            higher_is_better=higher_is_better,
            best=best,
            worst=worst,
            counts=counts.astype(np.float64),
        )

    def level(self) -> float:
        """The baseline's value."""
        sums = self.sums(None, higher_is_better=True)
        assert sums.counts is not None
        return float(self.of(sums.counts @ sums.baseline))

    def blind(self) -> float:
        """What the best constant answer scores on these items."""
        wanted = np.bincount(self.wanted, minlength=self.count).astype(np.float64)
        values = []
        for each in range(self.count):
            given = np.eye(self.count)[each]
            values.append(float(self.of(np.concatenate([given * wanted[each], given * wanted.sum(), wanted]))))
        return max(values)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What n answers of both sides add, [n, k]."""

    baseline: Floats
    candidate: Floats
    way: OfTexts

    def taken(self, inside: Indices) -> Parts:
        return replace(self, baseline=self.baseline[inside], candidate=self.candidate[inside])

    def sums(self, clusters: Indices | None, *, higher_is_better: bool) -> Sums:
        best = best_quarter(self.baseline, self.way.of, higher_is_better=higher_is_better)
        return summed(
            self.baseline,
            self.candidate,
            self.way.of,
            best=best,
            worst=self.way.nothing(best),
            clusters=clusters,
            higher_is_better=higher_is_better,
        )

    def level(self) -> float:
        """The baseline's value."""
        return float(self.way.of(self.baseline.sum(axis=0)))

    def blind(self) -> float:
        """What answers that have nothing in common with the references score."""
        return float(self.way.of(self.way.nothing(self.baseline).sum(axis=0)))


@dataclass(frozen=True, kw_only=True)
class Confidences:
    """Of n items of both sides the chosen option's probability and whether it is right, [n, 2]."""

    baseline: Floats
    candidate: Floats

    def taken(self, inside: Indices) -> Confidences:
        return replace(self, baseline=self.baseline[inside], candidate=self.candidate[inside])

    def sums(self, clusters: Indices | None, *, higher_is_better: bool) -> Sums:
        best, worst = calibration_extremes()
        return summed(
            binned(self.baseline),
            binned(self.candidate),
            calibration_error,
            best=best,
            worst=worst,
            clusters=clusters,
            higher_is_better=higher_is_better,
            inflation=calibration_inflation,
        )

    def level(self) -> float:
        """The baseline's value."""
        return float(
            calibration_error(sum(binned(self.baseline[part]).sum(axis=0) for part in _blocks(len(self.baseline))))
        )

    def blind(self) -> float:
        """The largest value that there is: certainty without a right answer. Equal probabilities are no floor, for
        they are well calibrated."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class WholePairs:
    """A metric of the whole over n pairs."""

    task: str
    metric: str
    higher_is_better: bool
    items: Classes | Parts | Confidences
    clusters: Indices | None
    slices: Mapping[str, Indices]
    failing: Mask
    """Items on which the candidate failed, [n]; they count as its worst answers."""
    baseline_failed: tuple[str, ...]
    listed: bool
    """Whether reports list it; otherwise it is computed where a gate asks for it."""
    kind: Literal["corpus"] = "corpus"

    @property
    def count(self) -> int:
        return self.failing.size

    @property
    def failed(self) -> int:
        return int(self.failing.sum())

    @cached_property
    def resampled(self) -> Resampled:
        """Both sides' values, and the draws behind every bound."""
        return resample(self.items.sums(self.clusters, higher_is_better=self.higher_is_better))

    @property
    def blind(self) -> float:
        """The value of answers that know nothing."""
        return self.items.blind()

    def only(self, slice_name: str) -> WholePairs:
        """The same metric over one slice."""
        return self.taken(self.slices[slice_name])

    def taken(self, inside: Indices) -> WholePairs:
        return replace(
            self,
            items=self.items.taken(inside),
            clusters=None if self.clusters is None else self.clusters[inside],
            slices={},
            failing=self.failing[inside],
        )


def whole_pairs(task: str, kind: str, pairs: Pairs, whole: tuple[str, ...]) -> tuple[WholePairs, ...]:
    """Every metric of the whole of a task: those of its options where they are the same for all items, and `whole`."""
    if not pairs.places.size:
        return ()
    asked = {name: row for name in whole if (row := whole_metric(kind, name)) is not None}
    found: list[WholePairs] = []
    if kind == "choice":
        found = [*_of_classes(task, pairs, asked), *_of_chances(task, pairs)]
    for name, row in asked.items():
        if isinstance(row.computed, OfTexts) and name in pairs.baseline.parts:
            found.append(_of_texts(task, pairs, name, row, row.computed))
    return tuple(found)


def _of_classes(task: str, pairs: Pairs, asked: Mapping[str, Metric]) -> list[WholePairs]:
    by_place = _placed(pairs)
    if by_place is None:
        return []
    by_text = _named(pairs, by_place)
    rows = {row.name: row for row in CORPUS if isinstance(row.computed, OfClasses)} if by_text is not None else {}
    found = []
    for name, row in {**rows, **asked}.items():
        items = by_place if name in asked else by_text
        if items is None or not isinstance(row.computed, OfClasses) or (row is POSITIVE_F1 and items.count != 2):
            continue
        found.append(_made(task, name, row, replace(items, of=row.computed.of), pairs, listed=name in asked))
    return found


def _made(
    task: str,
    name: str,
    row: Metric,
    items: Classes | Parts | Confidences,
    pairs: Pairs,
    *,
    listed: bool,
    failed: tuple[Mask, Mask] | None = None,
) -> WholePairs:
    """`failed`: items without an answer, of the baseline and of the candidate."""
    if failed is None:
        assert isinstance(items, Classes)
        failed = (items.baseline == NONE, items.candidate == NONE)
    return WholePairs(
        task=task,
        metric=name,
        higher_is_better=row.higher_is_better,
        items=items,
        clusters=pairs.clusters,
        slices=pairs.slices,
        failing=failed[1],
        baseline_failed=tuple(pairs.name(pair) for pair in np.flatnonzero(failed[0]).tolist()),
        listed=listed,
    )


def _of_texts(task: str, pairs: Pairs, name: str, row: Metric, way: OfTexts) -> WholePairs:
    """A failed answer of the candidate has nothing of what the baseline's has."""
    left, right = pairs.baseline.parts[name], pairs.candidate.parts[name]
    failed, failing = _without(left), _without(right)
    left = np.nan_to_num(left)
    right = np.where(failing[:, None], way.nothing(left), right) if right.shape == left.shape else way.nothing(left)
    items = Parts(baseline=left, candidate=np.nan_to_num(right), way=way)
    return _made(task, name, row, items, pairs, listed=True, failed=(failed, failing))


def _of_chances(task: str, pairs: Pairs) -> list[WholePairs]:
    """The calibration error. A candidate's item without finite likelihoods is a certain and wrong answer."""
    answered = AnsweredPairs(
        baseline=pairs.baseline, candidate=pairs.candidate, plan=pairs.plan, places=pairs.places, texts=lambda _: ()
    )
    sides = calibration(answered)
    if sides is None:
        return []
    failed, failing = (_without(each) for each in sides)
    if failed.all():
        return []
    items = Confidences(
        baseline=np.nan_to_num(sides[0]), candidate=np.where(failing[:, None], (1.0, 0.0), np.nan_to_num(sides[1]))
    )
    return [_made(task, ECE.name, ECE, items, pairs, listed=False, failed=(failed, failing))]


def _without(parts: Floats) -> Mask:
    """Items that have none, [n]."""
    found: Mask = np.isnan(parts).sum(axis=1) > 0
    return found


def _placed(pairs: Pairs) -> Classes | None:
    """Options as classes by their place; None where items have no or different numbers of options."""
    plan, places = pairs.plan, pairs.places
    counts = plan.options[places]
    count = int(counts[0])
    if count < 2 or count > MOST_CLASSES or (counts != count).any():
        return None
    wanted = np.empty(places.size, dtype=np.int16)
    for part in _blocks(places.size):
        right = plan.is_right[_offered(plan.first_option[places[part]], count)]
        if not right.any(axis=1).all():
            return None
        wanted[part] = right.argmax(axis=1)
    sides = [_chosen(answers, count) for answers in (pairs.baseline, pairs.candidate)]
    return Classes(count=count, wanted=wanted, baseline=sides[0], candidate=sides[1], of=_unset)


def _unset(sums: Floats) -> Floats:
    raise NotImplementedError


def _blocks(size: int) -> Iterator[slice]:
    """A million items are looked at in parts: a table of all their options takes more memory than they do."""
    yield from (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


def _offered(first: Indices, count: int) -> Indices:
    """The places of every option of items, [n, count]."""
    found: Indices = first[:, None] + np.arange(count)
    return found


def _chosen(answers: Answers, count: int) -> Codes:
    """The option with the best likelihood, the first of equals as in lm-eval; `NONE` where one is not finite."""
    chosen = np.full(answers.options.size, NONE, dtype=np.int16)
    for part in _blocks(chosen.size):
        whole = np.flatnonzero(answers.options[part] >= count)
        values = answers.likelihoods[_offered(answers.first_option[part][whole], count)]
        finite = np.isfinite(values).all(axis=1)
        chosen[part][whole[finite]] = values[finite].argmax(axis=1)
    return chosen


def _named(pairs: Pairs, placed: Classes) -> Classes | None:
    """The same classes by the options' texts; None where not all items offer the same ones."""
    plan, places = pairs.plan, pairs.places
    names = np.unique(plan.option_texts[_offered(plan.first_option[places[:1]], placed.count)])
    if names.size != placed.count or names[0] == 0:
        return None
    found = [np.empty(places.size, dtype=np.int16) for _ in range(3)]
    for part in _blocks(places.size):
        texts = plan.option_texts[_offered(plan.first_option[places[part]], placed.count)]
        if (np.sort(texts, axis=1) != names).any():
            return None
        codes = np.searchsorted(names, texts)
        item = np.arange(len(codes))
        for named, given in zip(found, (placed.wanted, placed.baseline, placed.candidate), strict=True):
            option = given[part]
            named[part] = np.where(option == NONE, NONE, codes[item, np.maximum(option, 0)])
    return replace(placed, wanted=found[0], baseline=found[1], candidate=found[2])
