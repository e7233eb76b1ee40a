"""The smallest limit that a sample still to be drawn passes with a given power, by the bounds the gate really uses.

Right or wrong, independent items: every outcome that Tango's bound can meet, added up. Over clusters and for graded
metrics a closed form. Gaffke's upper bound (`stats.bounded`) adds one unseen unit at the worst end. Over n units whose
mean has the error s that adds E / n, E exponential: the bound of a sample with mean 0 lies near the quantile of
E / n + s Z, Z standard normal, and moves with the sample's own mean, which is s Z again. The gate takes the wider of
this and its own bound (Tango's, Student's t) where fewer than `FEW_CHANGES` units changed, which has the chance of a
binomial count. Held against simulations of the gate in tests/stats/test_promise.py.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.stats.bounded import FEW_CHANGES
from harness.stats.decision import check_alpha, normal_quantile, t_quantile, unseen_share, upper_tail
from harness.stats.power import certifiable_drop, items_needed, pass_probability

POWER = 0.8
EXACT_FLIPS = 200
"""From so many expected flips on the normal formula is used: its power is then within one point of the exact one."""
MOST = 10_000_000
"""A sample beyond this is out of reach: the answer is then None, not a number."""
_MOST_EXACT = 2_000
_STEPS = 60
_NEARLY_NORMAL = 30.0
"""Where the error is so many times what one unit adds, the exponential is taken as one more normal part."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a comparison without a true loss is expected to look like."""

    items: float
    units: float
    """Independent ones: items, or whole clusters."""
    error: float
    """Standard error of the mean difference, cluster-robust."""
    changed: float
    """Units expected to differ from the commonest value."""
    scale: float = 1.0
    """The largest loss of a unit, in the metric's own unit."""
    discordance: float | None = None
    """Right or wrong: the share of flips. None for graded metrics."""

    @property
    def design_effect(self) -> float:
        """Right or wrong: how much less the items count for."""
        return 1.0 if not self.discordance else max(1.0, self.error**2 * self.items / self.discordance)

    def times(self, factor: float) -> Sample:
        """The same kind of data with `factor` times as many units."""
        return replace(
            self,
            items=self.items * factor,
            units=self.units * factor,
            error=self.error / math.sqrt(factor),
            changed=self.changed * factor,
        )


def clustered_sample(sizes: Sequence[int], *, discordance: float, correlation: float = 0.0) -> Sample:
    """Right-or-wrong items in clusters of these sizes, any two of one cluster flipping alike with this correlation.

    As in the simulations of docs/statistics.md an item takes its cluster's common draw with chance sqrt(correlation).
    """
    items = sum(sizes)
    effect = 1 + (sum(size * size for size in sizes) / items - 1) * correlation
    still = math.fsum(
        count * _chance_of_no_change(size, discordance, math.sqrt(correlation))
        for size, count in Counter(sizes).items()
    )
    return Sample(
        items=items,
        units=len(sizes),
        error=math.sqrt(discordance * effect / items),
        changed=len(sizes) - still,
        discordance=discordance,
    )


def _chance_of_no_change(size: int, discordance: float, common: float) -> float:
    """That a cluster wins as many items as it loses, each taking the cluster's own draw with chance `common`."""
    own = (1 - common) * discordance / 2
    calm = _as_many(size, own, own)
    return (1 - discordance) * calm + discordance * _as_many(size, common + own, own)


def _as_many(size: int, lost: float, won: float) -> float:
    """Chance of as many losses as wins among `size` independent items."""
    same = 1 - lost - won

    def term(k: int) -> float:
        parts = ((k, lost), (k, won), (size - 2 * k, same))
        if any(count and share <= 0 for count, share in parts):
            return 0.0
        logs = math.lgamma(size + 1) + sum(
            count * math.log(share) - math.lgamma(count + 1) for count, share in parts if count
        )
        return math.exp(logs)

    return math.fsum(term(k) for k in range(size // 2 + 1))


@functools.lru_cache(maxsize=1024)
def certified_drop(n: int, *, discordance: float, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest drop that n independent right-or-wrong items certify with this power when nothing is lost; 1.0
    where none does. Up to `EXACT_FLIPS` expected flips by `pass_probability`, then by `certifiable_drop`."""
    formula = certifiable_drop(n, discordance=discordance, alpha=alpha, power=power)
    if n * discordance > EXACT_FLIPS or formula >= 1:
        return formula

    def enough(limit: float) -> bool:
        return pass_probability(n, margin=limit, discordance=discordance, alpha=alpha) >= power

    low, high = formula * 0.9, formula
    while not enough(high):
        low, high = high, 1.25 * high
        if high >= 1:
            return 1.0
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@functools.lru_cache(maxsize=1024)
def items_certifying(margin: float, *, discordance: float, alpha: float = 0.05, power: float = POWER) -> int:
    """About how many independent right-or-wrong items pass this margin with this power when nothing is lost.

    `items_needed`, and a twentieth more until the exact power is reached, as far as that is cheap to find.
    """
    n = items_needed(margin, discordance=discordance, alpha=alpha, power=power)
    while n * discordance <= _MOST_EXACT and (
        pass_probability(n, margin=margin, discordance=discordance, alpha=alpha) < power
    ):
        n = math.ceil(n * 1.05)
    return n


def certified_loss(sample: Sample, *, alpha: float = 0.05, power: float = POWER) -> float:
    """The smallest loss that a clustered or graded sample certifies with this power; infinite for one unit, at most
    1.0 for right or wrong."""
    check_alpha(alpha)
    if sample.units < 2:
        return math.inf if sample.discordance is None else 1.0
    chance = _chance(sample, alpha)
    low, high = 0.0, sample.scale
    while sample.discordance is None and chance(high) < power:
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) >= power else (middle, high)
    return high


def certified_level(
    limit: float, sizes: Sequence[int], *, clustered: bool, alpha: float = 0.05, power: float = POWER
) -> float:
    """The smallest true share of right answers that is shown to lie above `limit` with this power, where the items of a
    cluster are right or wrong independently of each other. At most 1.0.

    Wilson's bound by the normal formula; over clusters with Student's t, and Gaffke's bound of the share of wrong ones.
    """
    items, units, mean = sum(sizes), len(sizes), sum(sizes) / len(sizes)
    quantile = t_quantile(1 - alpha, units - 1) if clustered and units > 1 else normal_quantile(1 - alpha)

    def chance(truth: float) -> float:
        wrong, error = 1 - truth, math.sqrt(truth * (1 - truth) / items)
        if error == 0:
            return 1.0
        own = _normal(((truth - limit) - quantile * math.sqrt(limit * (1 - limit) / items)) / error)
        if not clustered:
            return own
        same = max(_binomial(round(mean), k, wrong) for k in range(round(mean) + 1))
        sample = Sample(items=items, units=units, error=error, changed=units * (1 - same), scale=truth)
        few = _share_few(sample)
        unseen = _normal((truth - limit - _unseen_quantile(sample, alpha)) / error)
        return few * min(own, unseen) + (1 - few) * own

    low, high = limit, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) >= power else (middle, high)
    return high


def _binomial(n: int, k: int, share: float) -> float:
    return math.comb(n, k) * share**k * (1 - share) ** (n - k)


def factor_certifying(sample: Sample, limit: float, *, alpha: float = 0.05, power: float = POWER) -> float | None:
    """How many times as many units pass this limit with this power; None where no number within reach does."""

    def enough(factor: float) -> bool:
        more = sample.times(factor)
        return more.units >= 2 and _chance(more, alpha)(limit) >= power

    low, high = 0.0, 1.0
    while not enough(high):
        low, high = high, 2 * high
        if high * sample.items > MOST:
            return None
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _chance(sample: Sample, alpha: float) -> Callable[[float], float]:
    """From a limit to the chance that the gate's bound lies below it."""
    quantile = t_quantile(1 - alpha, sample.units - 1)
    added = _unseen_quantile(sample, alpha)
    few = _share_few(sample)

    def own(limit: float) -> float:
        if sample.discordance is None:
            return _normal((limit - quantile * sample.error) / sample.error) if sample.error > 0 else 0.0
        effective, d = sample.items / sample.design_effect, sample.discordance
        if limit <= unseen_share(effective, quantile):
            return 0.0
        if d == 0:
            return 1.0
        spread = quantile * math.sqrt(max(0.0, d - limit * limit))
        return _normal((limit * math.sqrt(effective) - spread) / math.sqrt(d))

    def chance(limit: float) -> float:
        alone = own(limit)
        unseen = _normal((limit - added) / sample.error) if sample.error > 0 else float(limit > added)
        return few * min(alone, unseen) + (1 - few) * alone

    return chance


def _unseen_quantile(sample: Sample, alpha: float) -> float:
    """The 1 - alpha quantile of scale * E / units + error * Z, drawn in as for Dirichlet weights, which add up to one:
    1 - exp(-x) for x, so that no change at all gives 1 - alpha^(1 / units)."""
    rate, error = sample.units / sample.scale, sample.error
    if rate * error > _NEARLY_NORMAL:
        return 1 / rate + normal_quantile(1 - alpha) * math.sqrt(error**2 + 1 / rate**2)
    low, high = 0.0, -math.log(alpha) / rate + 2 * normal_quantile(1 - alpha) * error
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(middle, rate, error) > alpha else (low, middle)
    return -sample.scale * math.expm1(-high / sample.scale)


def _tail(x: float, rate: float, error: float) -> float:
    """P(E / rate + error Z > x), the exponentially modified normal distribution."""
    if error * rate < 1e-6:
        return math.exp(-rate * x)
    u, step = x / error, rate * error
    return upper_tail(u) + math.exp(step * step / 2 - step * u) * _normal(u - step)


def _share_few(sample: Sample) -> float:
    """The chance that fewer than FEW_CHANGES units change."""
    share = min(1.0, sample.changed / sample.units)
    spread = math.sqrt(sample.changed * (1 - share))
    if spread < 1e-9:
        return float(sample.changed < FEW_CHANGES)
    return _normal((FEW_CHANGES - 0.5 - sample.changed) / spread)


def _normal(z: float) -> float:
    return upper_tail(-z)
