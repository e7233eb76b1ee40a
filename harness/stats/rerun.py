"""What a model loses against itself when it is run again: the chance in one answer an item. Arrays in, numbers out."""

from __future__ import annotations

import math

from harness.stats.decision import normal_quantile

RERUN_LEVEL = 0.95
"""Of the loss between two runs: so many pairs of runs show less. It does not follow a gate's alpha, since a stricter
alpha must not make a limit looser."""


def rerun_loss(variance: float, n: int) -> float:
    """The loss that one run over n items shows against another run of the same model in one of twenty pairs of runs.

    `variance`: mean variance of an item's score over its answers. The difference of two runs' means has the variance
    2 · variance / n, since the answers to different items are drawn apart; so the loss is z · √(2 · variance / n).
    """
    return normal_quantile(RERUN_LEVEL) * math.sqrt(2.0 * variance / n)
