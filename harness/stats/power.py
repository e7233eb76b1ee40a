"""Before the run: what can a suite certify? And after an undecided one: how many more items would decide?"""

from __future__ import annotations

import math

import numpy as np

from harness.stats.decision import Decision, check_alpha, check_margin, normal_quantile
from harness.stats.drop import tango_z

DISCORDANCE_PRIORS: dict[int, float] = {16: 0.01, 8: 0.036, 4: 0.079, 3: 0.12, 2: 0.2}
"""Share of items that flip, by bits, where there is no history: 8 bits 3.6 % (1.9-6.4), 4 bits 7.9 % (4.7-13.2).
The figures for 16, 3 and 2 bits are guesses."""
MOST = 10_000_000


def zero_flip_items(margin: float, alpha: float = 0.05) -> int:
    """The fewest items with which identical answers PASS: z^2 (1 - m) / m, rounded up."""
    check_margin(margin)
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

    n = [z_a sqrt(d - m^2) + z_b sqrt(d - delta^2)]^2 / (m - delta)^2, plus `inflate` because the normal formula is
    optimistic, at least `zero_flip_items`. Raises ValueError when the true drop is not below the margin.
    """
    check_margin(margin)
    check_alpha(alpha)
    if true_drop >= margin:
        raise ValueError(f"true_drop {true_drop} must lie below the margin {margin}")
    z_alpha, z_beta = normal_quantile(1 - alpha), normal_quantile(power)
    spread = z_alpha * math.sqrt(max(0.0, discordance - margin**2)) + z_beta * math.sqrt(
        max(0.0, discordance - true_drop**2)
    )
    n = (spread / (margin - true_drop)) ** 2 * (1 + inflate)
    return max(math.ceil(n), zero_flip_items(margin, alpha))


def certifiable_drop(
    n: int, *, discordance: float, true_drop: float = 0.0, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest margin that n items certify at this power (no 10 % on top); 1.0 where none does."""
    low, high = max(true_drop, 0.0) + 1e-6, 1.0 - 1e-9
    if items_needed(high, discordance=discordance, true_drop=true_drop, power=power, alpha=alpha, inflate=0) > n:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        needed = items_needed(
            middle, discordance=discordance, true_drop=true_drop, power=power, alpha=alpha, inflate=0
        )
        low, high = (low, middle) if needed <= n else (middle, high)
    return high


def pass_probability(
    n: int, *, margin: float, discordance: float, true_drop: float = 0.0, alpha: float = 0.05
) -> float:
    """Exact probability that n pairs PASS: every (b, c) of the trinomial, judged by Tango's bound."""
    from scipy.special import gammaln

    p_b, p_c = (discordance + true_drop) / 2, (discordance - true_drop) / 2
    if p_c < 0:
        raise ValueError("the true drop exceeds the discordance")
    b, c = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    inside = b + c <= n
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = (
            gammaln(n + 1) - gammaln(b + 1) - gammaln(c + 1) - gammaln(np.where(inside, n - b - c, 0) + 1)
            + _times_log(b, p_b) + _times_log(c, p_c) + _times_log(n - b - c, 1 - discordance)
        )  # fmt: skip
    chance = np.where(inside, np.exp(log_p), 0.0)
    keep = chance > 1e-12
    quantile = normal_quantile(1 - alpha)
    return float(sum(p for p, i, j in zip(chance[keep], b[keep], c[keep], strict=True) if tango_z(n, i, j, margin) < -quantile))


def _times_log(count: np.ndarray, probability: float) -> np.ndarray:  # type: ignore[type-arg]  # meshgrid's own
    """count * log(probability) with 0 * log 0 = 0."""
    if probability > 0:
        return count * math.log(probability)
    return np.where(count == 0, 0.0, -np.inf)


def items_to_decide(n: int, b: int, c: int, *, margin: float, alpha: float = 0.05) -> int | None:
    """About how many more items, at the rates seen, would move an undecided drop to PASS or FAIL.

    None where the observed drop lies on the limit so closely that no number in reach decides.
    """
    quantile = normal_quantile(1 - alpha)

    def decided(factor: float) -> bool:
        return abs(tango_z(n * factor, b * factor, c * factor, margin)) > quantile

    if decided(1.0):
        return 0
    if abs((b - c) / n - margin) < 1e-12:
        return None
    low, high = 1.0, 2.0
    while not decided(high):
        low, high = high, high * 2
        if n * high > MOST:
            return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return max(1, math.ceil(n * high) - n)


def more_documents(documents: int, *, value: float, upper: float, limit: float) -> int | None:
    """About how many more documents would decide: the half-width shrinks with the root of their number."""
    distance, half = abs(limit - value), upper - value
    if distance <= 0 or not math.isfinite(half):
        return None
    needed = math.ceil(documents * (half / distance) ** 2)
    if needed > MOST:
        return None
    return max(1, needed - documents)


__all__ = ["DISCORDANCE_PRIORS", "Decision", "certifiable_drop", "items_needed", "items_to_decide"]
