"""Items whose outcome changed, with both answers, worst first."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from harness.records.columns import NONE, Answers, Floats, Indices, Mask, PlanColumns
from harness.records.items import ItemRecord, PlannedItem, TextAnswer
from harness.records.measures import Flip
from harness.samples.pairs import Pairs

MOST = 200
"""Flips kept per task; the total is always counted."""
MOSTLY = 0.5
"""An item is mostly right where more than this share of its answers is; an answer is where its score is above."""
LONGEST = 4000
"""Characters of a prompt or an answer that are kept for the report."""
Reader = Callable[[Indices], Iterable[tuple[PlannedItem, ItemRecord, ItemRecord]]]
"""Reads pairs in full: the planned item, the baseline's record and the candidate's."""


def find_flips(
    task: str,
    metric: str,
    pairs: Pairs,
    read: Reader,
    *,
    within: Indices | None = None,
    most: int = MOST,
    values: tuple[Floats, Floats] | None = None,
) -> tuple[tuple[Flip, ...], int]:
    """The flips of a binary metric (at most `most`, right-to-wrong and large margins first) and their number.

    An item with several answers flips where most of them were right and no longer are, or the other way.
    `within`: only among these pairs. `values`: both sides', [pairs], of a metric that is not stored. Only the flips
    that are kept are read in full.
    """
    before, after = values or (pairs.baseline.metrics[metric], pairs.candidate.metrics[metric])
    was, is_ = _is_right(before, pairs.baseline), _is_right(after, pairs.candidate)
    flipped = np.flatnonzero(~np.isnan(before) & (was != is_))
    if within is not None:
        flipped = np.intersect1d(flipped, within)
    worse = was[flipped]
    left = margins(pairs.plan, pairs.places[flipped], pairs.baseline.taken(flipped))
    right = margins(pairs.plan, pairs.places[flipped], pairs.candidate.taken(flipped))
    moved = np.abs(np.nan_to_num(left) - np.nan_to_num(right)) + np.abs(before - np.nan_to_num(after))[flipped]
    names = map(pairs.name, flipped.tolist())
    order = zip((~worse).tolist(), (-moved).tolist(), names, range(flipped.size), strict=True)
    chosen = np.asarray([number for *_, number in heapq.nsmallest(most, order)], dtype=np.int64)
    flips = [
        Flip(
            task=task,
            metric=metric,
            item=planned.item,
            direction="right_to_wrong" if worse[number] else "wrong_to_right",
            slices=planned.slices,
            prompt=cut(planned.prompt, keep_end=True),
            expected=cut(planned.expected),
            baseline_answer=_shown(planned, baseline, metric, right=bool(worse[number])),
            candidate_answer=_shown(planned, candidate, metric, right=not worse[number]),
            baseline_margin=_stored(left[number]),
            candidate_margin=_stored(right[number]),
        )
        for number, (planned, baseline, candidate) in zip(chosen, read(flipped[chosen]), strict=True)
    ]
    return tuple(flips), flipped.size


def _shown(planned: PlannedItem, record: ItemRecord, metric: str, *, right: bool) -> str:
    """The answer, and why the metric calls it wrong, where that is stored."""
    text, reason = cut(answer_text(planned, record, right=right)), record.reasons.get(metric)
    return text if reason is None or right else f"{text} [{reason}]"


def _is_right(values: Floats, answers: Answers) -> Mask:
    """Right, or right in most of several answers, [n]."""
    right: Mask = values == 1.0
    if answers.repeats is None:
        return right
    return np.where(answers.repeats.counts > 1, np.nan_to_num(values) > MOSTLY, right)


def answer_text(planned: PlannedItem, record: ItemRecord, *, right: bool = True) -> str:
    """What the model answered: the generated text, or the most likely option. Of several answers how many are right,
    and one that is, or is not, as `right` says."""
    if record.answer is not None:
        return _one_of(record.answers, right=right) if record.repeats else record.answer.text
    likelihoods = [option.log_likelihood for option in record.options]
    scored = [value for value in likelihoods if value is not None]
    if not scored:
        return "(no finite likelihood for any option)"
    best = likelihoods.index(max(scored))
    return planned.options[best] if best < len(planned.options) else f"option {best + 1}"


def _one_of(answers: Sequence[TextAnswer], *, right: bool) -> str:
    scores = [each.score for each in answers if each.score is not None]
    if len(scores) < len(answers):
        return f"{answers[0].text} [and {len(answers) - 1} more answers]"
    rights = [score > MOSTLY for score in scores]
    shown = rights.index(right) if right in rights else 0
    return f"[{sum(rights)} of {len(answers)} right] {answers[shown].text}"


def margins(plan: PlanColumns, places: Indices, answers: Answers) -> Floats:
    """Log-likelihood of the right option minus the best wrong one, in nats, [n]; `NONE` where that has no meaning.

    `places`: [n] places in the plan of the n items of `answers`.
    """
    whole = np.flatnonzero((answers.options == plan.options[places]) & (answers.options > 0))
    item, option, likelihoods = answers.offered(whole)
    is_right = plan.is_right[plan.first_option[places[whole]][item] + option]
    right = np.full(whole.size, NONE)
    right[item[is_right][::-1]] = likelihoods[is_right][::-1]  # the first one stays where an option is repeated
    wrong = np.where(is_right | np.isnan(likelihoods), -np.inf, likelihoods)
    best = np.full(whole.size, -np.inf)
    np.maximum.at(best, item, wrong)
    found = np.full(places.size, NONE)
    found[whole] = np.where(np.isinf(best), NONE, right - best)
    return found


def _stored(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def cut(text: str, *, keep_end: bool = False) -> str:
    """At most `LONGEST` characters, and how many were left out."""
    if len(text) <= LONGEST:
        return text
    left_out = f"[{len(text) - LONGEST} characters left out]"
    return f"{left_out} {text[-LONGEST:]}" if keep_end else f"{text[:LONGEST]} {left_out}"
