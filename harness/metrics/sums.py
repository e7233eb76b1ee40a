"""Statistics of many items as functions of sums over them: F1 over classes, MCC, kappa, corpus BLEU, chrF and TER.

Owns the formulas, from sums [..., k] to values [...]; says not where the sums come from. Values are fractions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BLEU_ORDER = 4
CALIBRATION_BINS = 10
CHRF_ORDER = 6
CHRF_BETA = 2
WHOLE_IN_LM_EVAL = ("bleu", "chrf", "ter")
"""Metrics of texts that lm-eval aggregates by more than a mean, and that have a row of this name."""


def _classes(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Right answers, answers and references of each class, from [..., 3 K]."""
    size = sums.shape[-1] // 3
    return sums[..., :size], sums[..., size : 2 * size], sums[..., 2 * size :]


def _over(numerator: Floats, denominator: Floats) -> Floats:
    """0 where there is nothing to divide by."""
    import numpy as np

    found: Floats = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return found


def macro_f1(sums: Floats) -> Floats:
    """Mean F1 over the classes that are the reference or the answer of an item, as scikit-learn averages them."""
    right, given, wanted = _classes(sums)
    each = _over(2 * right, given + wanted)
    return _over(each.sum(-1), (given + wanted > 0).sum(-1).astype(float))


def mcc(sums: Floats) -> Floats:
    """Matthews correlation (Gorodkin 2004, over any number of classes); 0 where one side is constant."""
    import numpy as np

    right, given, wanted = _classes(sums)
    n = wanted.sum(-1)
    covariance = right.sum(-1) * n - (given * wanted).sum(-1)
    spread = np.maximum(0.0, (n * n - (given**2).sum(-1)) * (n * n - (wanted**2).sum(-1)))
    return _over(covariance, np.where(spread > 1e-12 * n**4, np.sqrt(spread), 0.0))


def kappa(sums: Floats) -> Floats:
    """Cohen's kappa: agreement beyond what the classes' shares give by chance; 0 where chance explains all."""
    import numpy as np

    right, given, wanted = _classes(sums)
    n = wanted.sum(-1)
    chance = _over((given * wanted).sum(-1), n)
    room = n - chance
    return _over(right.sum(-1) - chance, np.where(room > 1e-12 * n, room, 0.0))


def positive_f1(sums: Floats) -> Floats:
    """F1 of the second of two classes, as lm-eval's `f1`."""
    right, given, wanted = (each[..., 1] for each in _classes(sums))
    return _over(2 * right, given + wanted)


def bleu(sums: Floats) -> Floats:
    """Corpus BLEU with sacrebleu's exponential smoothing. Sums: n-grams that match (4), n-grams (4), length of the
    answers, length of the references."""
    import numpy as np

    match, total = sums[..., :BLEU_ORDER], sums[..., BLEU_ORDER : 2 * BLEU_ORDER]
    answered, wanted = sums[..., -2], sums[..., -1]
    smoothed, none = np.zeros_like(match), np.zeros(match.shape[:-1])
    for order in range(BLEU_ORDER):
        missing = (match[..., order] <= 0) & (total[..., order] > 0)
        none = none + missing
        smoothed[..., order] = np.where(missing, 0.5**none, match[..., order])
    usable = (total > 0).all(-1) & (match[..., 0] > 0)
    precision = np.where(total > 0, smoothed, 1.0) / np.where(total > 0, total, 1.0)
    shortness = np.minimum(0.0, 1 - wanted / np.where(answered > 0, answered, 1.0))
    found: Floats = np.where(usable, np.exp(np.log(precision).mean(-1) + shortness), 0.0)
    return found


def chrf(sums: Floats) -> Floats:
    """Corpus chrF2. Sums for each order of character n-grams: those of the answers, of the references, matches."""
    orders = sums.reshape(*sums.shape[:-1], CHRF_ORDER, 3)
    answered, wanted, match = orders[..., 0], orders[..., 1], orders[..., 2]
    used = (answered > 0) & (wanted > 0)
    count = used.sum(-1).astype(float)
    precision = _over((_over(match, answered) * used).sum(-1), count)
    recall = _over((_over(match, wanted) * used).sum(-1), count)
    factor = CHRF_BETA**2
    return _over((1 + factor) * precision * recall, factor * precision + recall)


def calibration_error(sums: Floats) -> Floats:
    """Expected calibration error (Guo et al. 2017): the gap between confidence and share of right answers of each bin,
    weighted by its items. Sums of confidence, of right answers and of items, bin by bin."""
    import numpy as np

    bins = sums.shape[-1] // 3
    gap, items = np.abs(sums[..., :bins] - sums[..., bins : 2 * bins]), sums[..., 2 * bins :]
    return _over(gap.sum(-1), items.sum(-1))


def calibration_inflation(units: Floats) -> float:
    """The most by which it is expected to be too high: E|N(0, s)| of every bin, s from the units' gaps, [n, 3 bins].
    It is what a perfectly calibrated model shows."""
    import numpy as np

    bins = units.shape[-1] // 3
    gaps = units[:, :bins] - units[:, bins : 2 * bins]
    return float(np.sqrt(2 / np.pi * (gaps**2).sum(axis=0)).sum() / units[:, 2 * bins :].sum())


def calibration_extremes() -> tuple[Floats, Floats]:
    """What one item adds at best and at worst in each bin, [bins, 3 bins]: right at the bin's centre's confidence, by
    that share, and wrong."""
    import numpy as np

    bins, place = CALIBRATION_BINS, np.arange(CALIBRATION_BINS)
    best, worst = np.zeros((bins, 3 * bins)), np.zeros((bins, 3 * bins))
    best[place, place] = worst[place, place] = (place + 0.5) / bins
    best[place, bins + place] = (place + 0.5) / bins
    best[place, 2 * bins + place] = worst[place, 2 * bins + place] = 1
    return best, worst


def ter(sums: Floats) -> Floats:
    """Corpus translation edit rate: edits over the references' words; 1 where there are edits and no words."""
    import numpy as np

    edits, words = sums[..., 0], sums[..., 1]
    found: Floats = np.where(words > 0, _over(edits, words), np.where(edits > 0, 1.0, 0.0))
    return found
