"""Metrics of the probabilities that a choice task gives its options, from the log-likelihoods that every run stores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.metrics.row import AnsweredPairs, FromAnswers, Metric, OfChances
from harness.metrics.sums import CALIBRATION_BINS as BINS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.metrics.row import Floats
    from harness.records.columns import Answers

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

BLOCK = 1 << 16
Values = Callable[[AnsweredPairs], "tuple[Floats, Floats] | None"]


@dataclass(frozen=True, kw_only=True)
class Offered:
    """The options of n items, m in all, one item's after the other's."""

    counts: Ints
    """How many each item has, [n]; at least one."""
    item: Ints
    """Whose an option is, [m]."""
    option: Ints
    """Its place in its item, [m]."""
    right: Mask
    """Whether its text is the expected answer's, [m]."""
    characters: Ints
    """Length of its text, [m]."""

    @property
    def starts(self) -> Ints:
        """Where an item's options begin, [n]."""
        import numpy as np

        found: Ints = np.cumsum(self.counts) - self.counts
        return found


def offered(pairs: AnsweredPairs, inside: Ints) -> Offered | None:
    """Of some pairs; None where an item has no options or none that is right."""
    import numpy as np

    places = pairs.places[inside]
    counts = pairs.plan.options[places]
    if counts.min() < 1:
        return None
    item = np.repeat(np.arange(counts.size), counts)
    option = np.arange(item.size) - (np.cumsum(counts) - counts)[item]
    at = pairs.plan.first_option[places][item] + option
    right = pairs.plan.is_right[at]
    if not np.bincount(item, right).all():
        return None
    return Offered(counts=counts, item=item, option=option, right=right, characters=pairs.plan.option_characters[at])


def chances(options: Offered, answers: Answers, *, per_character: bool) -> Floats:
    """Softmax over each item's log-likelihoods, [m]; NaN for an item of which one is not finite or missing."""
    import numpy as np

    fits = answers.options == options.counts
    at = np.where(fits[options.item], answers.first_option[options.item] + options.option, 0)
    values = np.where(fits[options.item], answers.likelihoods[at], np.nan) if answers.likelihoods.size else at * np.nan
    if per_character:
        values = values / np.maximum(1, options.characters)
    weights = np.exp(values - np.maximum.reduceat(values, options.starts)[options.item])
    found: Floats = weights / np.add.reduceat(weights, options.starts)[options.item]
    return found


def _by_parts(pairs: AnsweredPairs, of: Callable[[Offered, Answers], Floats]) -> tuple[Floats, Floats] | None:
    """Both sides' values, [n, ...]. A million items are looked at in parts: all their options take more memory."""
    import numpy as np

    counts = pairs.plan.options[pairs.places]
    if not counts.size or counts.max() < 2:
        return None
    found: tuple[list[Floats], list[Floats]] = ([], [])
    for start in range(0, counts.size, BLOCK):
        inside = np.arange(start, min(counts.size, start + BLOCK))
        options = offered(pairs, inside)
        if options is None:
            return None
        for side, answers in zip(found, (pairs.baseline, pairs.candidate), strict=True):
            side.append(of(options, answers.taken(inside)))
    left, right = (np.concatenate(side) for side in found)
    return None if np.isnan(left).all() else (left, right)


def _brier(*, per_character: bool) -> Values:
    """Half the sum over options of (p - y)^2. Options with the right text are one: either answers the question."""

    def score(options: Offered, answers: Answers) -> Floats:
        import numpy as np

        found = chances(options, answers, per_character=per_character)
        missed = 1 - np.bincount(options.item, np.where(options.right, found, found * 0))
        wrong = np.bincount(options.item, np.where(options.right, found * 0, found) ** 2)
        both: Floats = (missed**2 + wrong) / 2
        return both

    return lambda pairs: _by_parts(pairs, score)


def _guess(pairs: AnsweredPairs) -> Floats:
    """1 minus the score of equal probabilities."""
    counts = pairs.plan.options[pairs.places]
    found: Floats = 1 - (counts - 1) / (2 * counts)
    return found


def calibration(pairs: AnsweredPairs) -> tuple[Floats, Floats] | None:
    """Of each item of both sides, [n, 2]: the chosen option's probability, and whether it is right (by its share where
    best options tie). NaN as `chances`."""
    return _by_parts(pairs, _confidence)


def _confidence(options: Offered, answers: Answers) -> Floats:
    import numpy as np

    found = chances(options, answers, per_character=False)
    sure = np.maximum.reduceat(found, options.starts)
    best = found == sure[options.item]
    hit = np.bincount(options.item, best & options.right) / np.maximum(1, np.bincount(options.item, best))
    return np.stack([sure, np.where(np.isnan(sure), np.nan, hit)], axis=1)


def binned(confidence: Floats) -> Floats:
    """What items with these confidences and right answers, [n, 2], add to the sums of a calibration error."""
    import numpy as np

    size = confidence.shape[0]
    rows, place = np.zeros((size, 3 * BINS)), np.arange(size)
    bins = np.minimum((confidence[:, 0] * BINS).astype(np.int64), BINS - 1)
    for part, values in enumerate((confidence[:, 0], confidence[:, 1], np.ones(size))):
        rows[place, part * BINS + bins] = values
    return rows


def _metric(name: str, *, per_character: bool) -> Metric:
    over = "log-likelihoods per character" if per_character else "log-likelihoods"
    return Metric(
        name=name,
        kind="graded",
        unit="",
        description=f"Brier score of the softmax over the options' {over}, from 0 to 1",
        computed=FromAnswers(
            of="choice",
            values=_brier(per_character=per_character),
            stored="options[].log_likelihood",
            guess=_guess,
        ),
    )


ECE = Metric(
    name="ece",
    kind="corpus",
    unit="fraction",
    description="expected calibration error of the chosen options' probabilities, in ten bins of equal width",
    computed=OfChances(),
)
PROBABILITIES = (_metric("brier", per_character=False), _metric("brier_norm", per_character=True), ECE)
"""Before a choice flips, its probabilities move."""
