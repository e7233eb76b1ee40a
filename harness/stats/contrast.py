"""The score test of a weighted sum over the outcomes of right-or-wrong items: Tango's test with more outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

_STEPS = 80


class ContrastTerms(NamedTuple):
    """The statistic with what it is made of: z = sqrt(n) * mean / sqrt(variance)."""

    mean: float
    tilt: float
    """The t at which share_j / (1 + t value_j) are the most likely shares of the outcomes were the mean 0."""
    unseen: float
    """The share that the worst outcome then takes though it was not seen; else 0."""
    variance: float
    z: float


def contrast_z(counts: Sequence[float], values: Sequence[float]) -> float:
    """z of H0: the mean of `values` over outcomes is 0; positive where the observed mean is. 0/0 is 0.

    `counts[j]` items of n had an outcome worth `values[j]`; an outcome that could happen and did not has count 0 and
    counts all the same: its value bounds what the next item may bring. z = sqrt(n) * mean / sigma, where sigma^2 is
    the variance under the most likely shares p_j with mean 0 (the score test of a multinomial). With values 1 - D, -D
    and -1 - D for lost, unchanged and won items it is Tango's z(D). Raises ValueError for lengths that do not fit or
    no items.
    """
    return contrast_terms(counts, values).z


def contrast_terms(counts: Sequence[float], values: Sequence[float]) -> ContrastTerms:
    """`contrast_z` with its intermediate values. Raises ValueError as `contrast_z`."""
    n = float(sum(counts))
    if len(counts) != len(values) or n <= 0 or min(counts) < 0:
        raise ValueError("contrast_z: expected one count from 0 for each value, and at least one item")
    mean = sum(count * value for count, value in zip(counts, values, strict=True)) / n
    seen = [(count / n, value) for count, value in zip(counts, values, strict=True) if count > 0]
    if mean == 0:
        return ContrastTerms(0.0, 0.0, 0.0, sum(share * value * value for share, value in seen), 0.0)
    if mean < 0:
        found = contrast_terms(counts, [-value for value in values])
        return ContrastTerms(mean, -found.tilt, found.unseen, found.variance, -found.z)
    lowest = -min(values)
    if lowest <= 0:
        return ContrastTerms(mean, math.inf, 0.0, 0.0, math.inf)  # no outcome can bring the mean down to 0
    tilt, unseen = _tilt(seen, 1 / lowest), 0.0
    variance = sum(share / (1 + tilt * value) * value * value for share, value in seen if 1 + tilt * value > 0)
    if tilt == 1 / lowest:
        # 1 - sum(share / (1 + t value)), without subtracting: a mean of 1e-17 would vanish beside 1.
        left = sum(share * tilt * value / (1 + tilt * value) for share, value in seen if 1 + tilt * value > 0)
        unseen = max(0.0, left)
        variance += unseen * lowest * lowest
    z = mean * math.sqrt(n) / math.sqrt(variance) if variance > 0 else math.inf
    return ContrastTerms(mean, tilt, unseen, variance, z)


def _tilt(seen: Sequence[tuple[float, float]], most: float) -> float:
    """The t in (0, most] with sum share * value / (1 + t value) = 0, which falls as t grows; `most` where none is."""

    def tilted(t: float) -> float:
        total = 0.0
        for share, value in seen:
            below = 1 + t * value
            if below <= 0:
                return -math.inf
            total += share * value / below
        return total

    if tilted(most) >= 0:
        return most
    return falling_root(tilted, 0.0, most, within=1e-13 * most)


def falling_root(curve: Callable[[float], float], low: float, high: float, *, within: float) -> float:
    """Where a curve with curve(low) > 0 >= curve(high) is 0, to `within`: the Illinois method (Dowell, Jarratt 1971).

    curve(high) may be -inf: until both ends are finite the bracket is halved.
    """
    at_low, at_high, side = curve(low), curve(high), 0
    for _ in range(_STEPS):
        if abs(high - low) <= within:
            break
        finite = math.isfinite(at_low) and math.isfinite(at_high)
        middle = (low * at_high - high * at_low) / (at_high - at_low) if finite else (low + high) / 2
        if not min(low, high) < middle < max(low, high):
            middle = (low + high) / 2
        value = curve(middle)
        if value == 0:
            return middle
        if value > 0:
            low, at_low = middle, value
            at_high = at_high / 2 if side > 0 else at_high
            side = 1
        else:
            high, at_high = middle, value
            at_low = at_low / 2 if side < 0 else at_low
            side = -1
        if abs(value) < 1e-14:
            return middle
    return (low + high) / 2 if abs(high - low) <= within else (low if side > 0 else high)
