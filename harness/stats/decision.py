"""The three answers of a limit, and the quantiles and checks everything here uses. Owns no method."""

from __future__ import annotations

import math
from enum import StrEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

TIED = 1e-12
"""A standard error below this share of the scale is rounding, not evidence."""


class Decision(StrEnum):
    """PASS: the bound is inside the limit. FAIL: it is outside. INCONCLUSIVE: the limit is in between."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


def normal_quantile(probability: float) -> float:
    """Standard normal quantile."""
    return NormalDist().inv_cdf(probability)


def t_quantile(probability: float, degrees: float) -> float:
    """Student's t quantile; scipy is loaded on first use only."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def upper_tail(statistic: float, degrees: float | None = None) -> float:
    """P(T > statistic), standard normal, or Student's t with `degrees`; exact far out; 1 for minus infinity."""
    if degrees is None:
        return 0.5 * math.erfc(statistic / math.sqrt(2))
    from scipy.special import stdtr

    return float(stdtr(degrees, -statistic))


def both_tails(statistic: float, degrees: float | None = None) -> float:
    """P(|T| > |statistic|)."""
    return min(1.0, 2 * upper_tail(abs(statistic), degrees))


def unseen_share(units: float, quantile: float) -> float:
    """q^2 / (units + q^2): the one-sided score bound of a share seen in none of `units` independent units.

    Twenty identical answers leave room for 11.9 % others. Used wherever nothing varies, because there a
    standard error of 0 would claim certainty.
    """
    return quantile * quantile / (units + quantile * quantile)


def unseen_quantile(share: float, units: float) -> float:
    """The quantile q at which `unseen_share` is |share|, with its sign; infinite from a share of 1."""
    if abs(share) >= 1:
        return math.copysign(math.inf, share)
    return math.copysign(math.sqrt(units * abs(share) / (1 - abs(share))), share)


def cluster_codes(clusters: ArrayLike, n: int, caller: str) -> NDArray[np.int64]:
    """Labels of any kind as numbers 0..G-1, [n]. Raises ValueError when there is not one label an item."""
    labels = np.asarray(clusters)
    if labels.shape != (n,):
        raise ValueError(f"{caller}: expected one cluster label for each of {n} items, got shape {labels.shape}")
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def decide(lower: float, upper: float, limit: float, *, ceiling: bool, reliable: bool = True) -> Decision:
    """The interval of a quantity that must stay under `limit` (a ceiling) or over it, against the limit.

    PASS when the whole interval lies on the good side, FAIL when it lies on the bad side, otherwise INCONCLUSIVE. An
    interval that is not reliable decides nothing.
    """
    if not reliable:
        return Decision.INCONCLUSIVE
    inside, beyond = (upper < limit, lower > limit) if ceiling else (lower > limit, upper < limit)
    if inside:
        return Decision.PASS
    return Decision.FAIL if beyond else Decision.INCONCLUSIVE


def check_alpha(alpha: float) -> None:
    """Raises ValueError unless 0 < alpha < 0.5."""
    if not (math.isfinite(alpha) and 0 < alpha < 0.5):
        raise ValueError(f"alpha: expected a number between 0 and 0.5, got {alpha}")


def check_margin(margin: float) -> None:
    """Raises ValueError unless 0 < margin < 1."""
    if not (math.isfinite(margin) and 0 < margin < 1):
        raise ValueError(f"margin: expected a fraction between 0 and 1, got {margin}")


def check_scale(scale: float) -> None:
    """Raises ValueError unless the metric's range is positive and finite."""
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale: expected a positive number, got {scale}")


def check_counts(n: int, right_to_wrong: float, wrong_to_right: float) -> None:
    """Raises ValueError unless these are integers, n >= 1 and the flips fit into n."""
    for name, value in (("n", n), ("right_to_wrong", right_to_wrong), ("wrong_to_right", wrong_to_right)):
        if not math.isfinite(value) or value != int(value) or value < 0:
            raise ValueError(f"{name}: expected an integer of at least 0, got {value}")
    if n < 1:
        raise ValueError("n: expected at least one pair, got 0")
    if right_to_wrong + wrong_to_right > n:
        raise ValueError(f"{right_to_wrong} + {wrong_to_right} flips do not fit n = {n}")
