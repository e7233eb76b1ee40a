"""The three answers of a limit, and the quantiles everything here uses. Owns no method."""

from __future__ import annotations

import math
from enum import StrEnum
from statistics import NormalDist


class Decision(StrEnum):
    """PASS: the bound lies inside the limit. FAIL: it lies outside. INCONCLUSIVE: the interval holds the limit."""

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


def below(lower: float, upper: float, limit: float) -> Decision:
    """A quantity that must stay under `limit`."""
    if upper < limit:
        return Decision.PASS
    return Decision.FAIL if lower > limit else Decision.INCONCLUSIVE


def above(lower: float, upper: float, limit: float) -> Decision:
    """A quantity that must stay over `limit`."""
    if lower > limit:
        return Decision.PASS
    return Decision.FAIL if upper < limit else Decision.INCONCLUSIVE


def check_alpha(alpha: float) -> None:
    """Raises ValueError unless 0 < alpha < 0.5."""
    if not (math.isfinite(alpha) and 0 < alpha < 0.5):
        raise ValueError(f"alpha: expected a number between 0 and 0.5, got {alpha}")


def check_margin(margin: float) -> None:
    """Raises ValueError unless 0 < margin < 1."""
    if not (math.isfinite(margin) and 0 < margin < 1):
        raise ValueError(f"margin: expected a fraction between 0 and 1, got {margin}")
