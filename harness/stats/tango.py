"""Tango's score statistic for a paired difference, and its inversion. Owns the formula; decides nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class TangoTerms(NamedTuple):
    """Tango's statistic with what it is made of: 2n q^2 + linear q + constant = 0, z = numerator / sqrt(variance)."""

    linear: float
    constant: float
    q: float
    """Most likely share of pairs from wrong to right when the drop is the hypothesised one."""
    numerator: float
    variance: float
    z: float


def tango_z(n: float, b: float, c: float, difference: float) -> float:
    """Tango's score statistic (Statistics in Medicine 17, 1998, 891-908). 0/0 is 0.

    `b` pairs went from right to wrong, `c` from wrong to right, of `n`; `difference` is the hypothesised drop
    in [-1, 1]. Counts may be fractions of an item, as they are after a division by the design effect.
    Multiplying all three counts by k multiplies the statistic by sqrt(k).
    """
    return tango_terms(n, b, c, difference).z


def tango_terms(n: float, b: float, c: float, difference: float) -> TangoTerms:
    """`tango_z` with its intermediate values."""
    linear = difference * (2 * n - b + c) - (b + c)
    constant = -c * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear * linear - 8 * n * constant))
    # Of the two equal forms of the larger root, the one that subtracts nothing: q is often near 0.
    q = -2 * constant / (linear + root) if linear > 0 else (root - linear) / (4 * n)
    q = max(0.0, q)
    variance = n * (2 * q + difference * (1 - difference))
    numerator = b - c - n * difference
    if variance > 0:
        z = numerator / math.sqrt(variance)
    else:
        z = 0.0 if abs(numerator) < 1e-12 else math.copysign(math.inf, numerator)
    return TangoTerms(linear, constant, q, numerator, variance, z)


def tango_z_grid(n: int, b: NDArray[np.float64], c: NDArray[np.float64], difference: float) -> NDArray[np.float64]:
    """`tango_z` over arrays of counts, for one `difference` strictly inside (0, 1), where it is finite."""
    linear = difference * (2 * n - b + c) - (b + c)
    constant = -c * difference * (1 - difference)
    root = np.sqrt(np.maximum(0.0, linear * linear - 8 * n * constant))
    q = np.maximum(0.0, (root - linear) / (4 * n))
    z: NDArray[np.float64] = (b - c - n * difference) / np.sqrt(n * (2 * q + difference * (1 - difference)))
    return z


def tango_bound(n: float, b: float, c: float, target: float) -> float:
    """The difference in [-1, 1] at which the statistic equals `target`, within 1e-15; z falls as it grows."""
    low, high = -1.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if tango_z(n, b, c, middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
