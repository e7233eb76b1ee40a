"""Before the run: what can a suite certify, and how many items does a limit need?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from harness.stats.decision import check_alpha, check_margin, normal_quantile
from harness.stats.tango import tango_z_grid

DISCORDANCE_PRIORS: dict[int, float] = {16: 0.01, 8: 0.036, 4: 0.079, 3: 0.12, 2: 0.2}
"""Share of items that flip, by bits, where there is no history: 8 bits 3.6 % (1.9-6.4), 4 bits 7.9 %
(4.7-13.2). The figures for 16, 3 and 2 bits are guesses."""


def zero_flip_items(margin: float, alpha: float = 0.05) -> int:
    """The fewest items with which identical answers PASS: the first integer above z^2 (1 - m) / m."""
    check_margin(margin)
    check_alpha(alpha)
    z = normal_quantile(1 - alpha)
    return math.floor(z * z * (1 - margin) / margin) + 1


def items_needed(
    margin: float,
    *,
    discordance: float,
    true_drop: float = 0.0,
    power: float = 0.8,
    alpha: float = 0.05,
    inflate: float = 0.10,
) -> int:
    """Items with which a candidate that truly drops `true_drop` passes `margin` with this power.

    n = [z_a sqrt(d - m^2) + z_b sqrt(d - delta^2)]^2 / (m - delta)^2, plus `inflate` because the normal
    formula is optimistic, at least `zero_flip_items`. Against exact enumeration the result gives the power
    asked for from a discordance of twice the margin; between once and twice, 80 % turn out to be 74 to 79 %.
    Raises ValueError when the true drop is not below the margin or an argument is out of range.
    """
    check_margin(margin)
    check_alpha(alpha)
    _check_rates(discordance, true_drop)
    if not 0.5 <= power < 1:
        raise ValueError(f"power: expected a number from 0.5 to below 1, got {power}")
    if true_drop >= margin:
        raise ValueError(f"true_drop: expected less than the margin {margin}, got {true_drop}")
    if not (math.isfinite(inflate) and inflate >= 0):
        raise ValueError(f"inflate: expected a share from 0, got {inflate}")
    z_alpha, z_beta = normal_quantile(1 - alpha), normal_quantile(power)
    at_limit = math.sqrt(max(0.0, discordance - margin**2))
    in_truth = math.sqrt(max(0.0, discordance - true_drop**2))
    n = ((z_alpha * at_limit + z_beta * in_truth) / (margin - true_drop)) ** 2 * (1 + inflate)
    return max(math.ceil(n), zero_flip_items(margin, alpha))


def certifiable_drop(
    n: int, *, discordance: float, true_drop: float = 0.0, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest margin that n items certify at this power (no 10 % on top); 1.0 where none does."""
    if n < 1:
        raise ValueError(f"n: expected at least one item, got {n}")

    def enough(margin: float) -> bool:
        needed = items_needed(margin, discordance=discordance, true_drop=true_drop, power=power, alpha=alpha, inflate=0)
        return needed <= n

    low, high = max(true_drop, 0.0) + 1e-6, 1.0 - 1e-9
    if low >= high or not enough(high):
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def pass_probability(
    n: int, *, margin: float, discordance: float, true_drop: float = 0.0, alpha: float = 0.05
) -> float:
    """Exact probability that n pairs PASS: the trinomial chance of every (b, c), judged by Tango's bound.

    Counts more than ten standard deviations and thirty items from their mean are left out; together they are
    less likely than 1e-12. Raises ValueError when the arguments are out of range.
    """
    from scipy.special import gammaln, xlogy

    check_margin(margin)
    check_alpha(alpha)
    _check_rates(discordance, true_drop)
    if n < 1:
        raise ValueError(f"n: expected at least one item, got {n}")
    worse, better = (discordance + true_drop) / 2, (discordance - true_drop) / 2
    b, c = np.meshgrid(_likely_counts(n, worse), _likely_counts(n, better), indexing="ij")
    inside = b + c <= n
    b, c = b[inside], c[inside]
    same = n - b - c
    ways = gammaln(n + 1.0) - gammaln(b + 1) - gammaln(c + 1) - gammaln(same + 1)
    chance = np.exp(ways + xlogy(b, worse) + xlogy(c, better) + xlogy(same, 1 - discordance))
    passes = tango_z_grid(n, b, c, margin) < -normal_quantile(1 - alpha)
    return min(1.0, float(chance[passes].sum()))


def _likely_counts(n: int, share: float) -> NDArray[np.float64]:
    reach = 10 * math.sqrt(n * share * (1 - share)) + 30
    return np.arange(max(0, math.floor(n * share - reach)), min(n, math.ceil(n * share + reach)) + 1, dtype=float)


def _check_rates(discordance: float, true_drop: float) -> None:
    if not 0 <= discordance <= 1:
        raise ValueError(f"discordance: expected a share from 0 to 1, got {discordance}")
    if not abs(true_drop) <= discordance:
        raise ValueError(f"true_drop: {true_drop} does not fit a discordance of {discordance}")
