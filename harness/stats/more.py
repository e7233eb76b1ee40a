"""After an undecided comparison: about how many more items or documents would decide it."""

from __future__ import annotations

import math

from harness.stats.decision import (
    Decision,
    check_alpha,
    check_counts,
    check_margin,
    normal_quantile,
    t_quantile,
)
from harness.stats.drop import PairedDrop
from harness.stats.graded import GradedDrop
from harness.stats.share import RetainedShare
from harness.stats.tango import tango_z

MOST = 10_000_000
"""A sample beyond this is out of reach: the answer is then None, not a number."""


def items_to_decide(n: int, b: int, c: int, *, margin: float, alpha: float = 0.05) -> int | None:
    """About how many more independent pairs, at the rates seen, would decide a drop; 0 if it is decided.

    `b` of `n` went from right to wrong, `c` from wrong to right. Tango's statistic grows with the root of n,
    so n (z_{1-alpha} / z)^2 pairs decide. None where the observed drop is the limit, or so near that more
    than 10^7 pairs would be needed. Over clusters use `more_items`. Raises ValueError as `paired_drop`.
    """
    check_counts(n, b, c)
    check_margin(margin)
    check_alpha(alpha)
    return _more(n, tango_z(n, b, c, margin), normal_quantile(1 - alpha))


def more_items(drop: PairedDrop | GradedDrop) -> int | None:
    """About how many more items, in clusters like those seen, would decide this drop; 0 if it is decided.

    None as `items_to_decide`, and where one cluster or one item says nothing about the spread.
    """
    if drop.verdict != Decision.INCONCLUSIVE:
        return 0
    if isinstance(drop, PairedDrop):
        return _more(drop.n, drop.z, drop.quantile) if drop.unseen is None else _by_width(drop)
    units = drop.n if drop.clusters is None else drop.clusters
    if units == 1:
        return None
    t = t_quantile(1 - drop.alpha, units - 1)
    if drop.se > 0:
        return _more(drop.n, drop.t, t) or _by_width(drop)
    # Nothing varied, so the width falls with the units themselves, not with their root.
    distance = abs(drop.margin - drop.drop)
    quantile = normal_quantile(1 - drop.alpha) if drop.clusters is None else t
    if distance <= 1e-12 * max(1.0, drop.margin):
        return None
    needed = drop.n / units * quantile * quantile * (drop.scale / distance - 1)
    return None if needed > MOST else max(1, math.floor(needed) + 1 - drop.n)


def _by_width(drop: PairedDrop | GradedDrop) -> int | None:
    """From the bound on the limit's side, whose distance falls at least with the root of n."""
    beyond = drop.upper if drop.margin > drop.drop else 2 * drop.drop - drop.lower
    more = more_documents(drop.n, value=drop.drop, upper=beyond, limit=drop.margin)
    return None if more is None else max(1, more)


def _more(n: int, z: float, quantile: float) -> int | None:
    if abs(z) > quantile:
        return 0
    if abs(z) < 1e-9 or not math.isfinite(quantile):
        return None
    needed = n * (quantile / z) ** 2
    # Deciding takes strictly more than the quantile, hence one above the integer below.
    return None if needed > MOST else max(1, math.floor(needed) + 1 - n)


def more_documents(documents: int, *, value: float, upper: float, limit: float) -> int | None:
    """About how many more documents would decide: the half-width falls with the root of their number.

    The half-width is `upper - value`; all three amounts in one unit. None where the value is the limit, the
    interval is infinite, or more than 10^7 documents would be needed.
    """
    distance, half = abs(limit - value), upper - value
    if not (math.isfinite(half) and math.isfinite(distance)) or distance <= 1e-12 * max(1.0, abs(limit)):
        return None
    needed = documents * (half / distance) ** 2
    return None if needed > MOST else max(1, math.ceil(needed) - documents)


def more_of_gain(found: RetainedShare, limit: float) -> int | None:
    """About how many more items or documents would decide a share of a gain: the half-width on the limit's side falls
    with the root of their number. None as `more_documents`, and without a share."""
    if found.share is None or found.lower is None or found.upper is None:
        return None
    bound = found.lower if found.share > limit else found.upper
    return more_documents(found.n, value=0.0, upper=abs(found.share - bound), limit=abs(found.share - limit))
