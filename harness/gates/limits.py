"""A value with bounds against a limit. The two rules every form comes down to, and nothing else.

PASS when the whole one-sided interval lies on the good side, FAIL when it lies on the bad side, otherwise
INCONCLUSIVE. A value without bounds is exact and is compared as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Judged = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What was measured, in the terms of the gate's form."""

    value: float
    lower: float | None
    upper: float | None
    n: int
    reliable: bool = True
    """False: the interval cannot be trusted (too few documents or timed pairs), so nothing is decided."""
    why_unreliable: str = ""
    p: float | None = None
    """One-sided p of “the limit is not broken”; None for what is exact or unreliable."""
    early_alpha: float | None = None
    """The share of alpha at which the anytime-valid test decided; None where a whole task was judged."""


def at_most(estimate: Estimate, limit: float) -> Judged:
    """The value must stay below `limit`."""
    if estimate.lower is None or estimate.upper is None:
        return "PASS" if estimate.value <= limit else "FAIL"
    if not estimate.reliable:
        return "INCONCLUSIVE"
    if estimate.upper < limit:
        return "PASS"
    return "FAIL" if estimate.lower > limit else "INCONCLUSIVE"


def at_least(estimate: Estimate, limit: float) -> Judged:
    """The value must stay above `limit`."""
    if estimate.lower is None or estimate.upper is None:
        return "PASS" if estimate.value >= limit else "FAIL"
    if not estimate.reliable:
        return "INCONCLUSIVE"
    if estimate.lower > limit:
        return "PASS"
    return "FAIL" if estimate.upper < limit else "INCONCLUSIVE"
