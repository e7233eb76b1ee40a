"""Bounds of a mean whose values lie in a known range, good for few and lopsided changes where Student's t is not.

If three of two hundred answers changed, and by chance only a little, t takes the small spread it saw for the
whole truth. Gaffke (2005; Learned-Miller and Thomas 2019, arXiv:1905.06208) adds one unseen value at the worst
end of the range and weighs all n + 1 by a flat Dirichlet: the upper bound is the 1 - alpha quantile of that
weighted mean. For zeros and ones it is the exact bound of Clopper and Pearson.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.stats.clusters import cluster_squares, variance_of_sum
from harness.stats.decision import (
    TIED,
    normal_quantile,
    t_quantile,
    unseen_quantile,
    unseen_share,
    upper_tail,
)

Floats = NDArray[np.float64]
FEW_CHANGES = 50
"""Under this many units that differ from the commonest value, Student's t passes up to 15 % at a 5 % limit."""
_STEPS = 60
_TOWARDS_POLE = 0.99
"""Share of the way to a pole that one step may go."""


@dataclass(frozen=True, kw_only=True)
class BoundedMean:
    """The mean of values from `low` to `high` over independent units: items, or whole clusters."""

    mean: float
    se: float
    """Cluster-robust with the G/(G-1) factor; 0 for one unit and where nothing varies."""
    units: int
    degrees: int | None
    """Of the t that stands in for the normal over clusters that all agree; None over items."""
    sums: Floats
    sizes: Floats
    """Sum and number of values of each unit, [units]."""
    low: float
    high: float
    scale: float
    """Width that ties leave open: bounds at scale * q^2 / (units + q^2) around them."""

    @classmethod
    def of(
        cls, values: Floats, labels: NDArray[np.int64], *, low: float, high: float, scale: float, clustered: bool
    ) -> BoundedMean:
        """`values`: [n]; `labels`: [n] units numbered 0..units-1."""
        mean = float(values.mean())
        sizes = np.bincount(labels).astype(np.float64)
        units = sizes.size
        se = math.sqrt(variance_of_sum(cluster_squares(values, labels), units)) / values.size if units > 1 else 0.0
        return cls(
            mean=mean,
            se=0.0 if se <= TIED * max(scale, abs(mean)) else se,
            units=units,
            degrees=units - 1 if clustered else None,
            sums=np.bincount(labels, weights=values).astype(np.float64),
            sizes=sizes,
            low=low,
            high=high,
            scale=scale,
        )

    @property
    def sparse(self) -> bool:
        """Whether so few units differ from the commonest value that t cannot be trusted."""
        return few_changes(self.sums / self.sizes / self.scale)

    def quantile(self, alpha: float) -> float:
        """Of `bounds`: t; where nothing varies normal, or t over clusters; infinite for one unit."""
        if self.units == 1:
            return math.inf
        if self.se == 0 and self.degrees is None:
            return normal_quantile(1 - alpha)
        return t_quantile(1 - alpha, self.units - 1)

    def unseen_bounds(self, alpha: float) -> tuple[float, float] | None:
        """Gaffke's bounds where `sparse`; None where t is trusted, nothing varies, or there is one unit."""
        if self.units == 1 or self.se == 0 or not self.sparse:
            return None
        lower = -unseen_bound(-self.sums, self.sizes, -self.low, alpha)
        return lower, unseen_bound(self.sums, self.sizes, self.high, alpha)

    def own_bounds(self, alpha: float) -> tuple[float, float]:
        """Student's t alone, and the room that ties leave. Infinite for one unit."""
        if self.units == 1:
            return -math.inf, math.inf
        q = self.quantile(alpha)
        half = q * self.se if self.se > 0 else self.scale * unseen_share(self.units, q)
        return self.mean - half, self.mean + half

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper one-sided bounds at 1 - alpha each: t, where `sparse` the wider of t and Gaffke."""
        own, wider = self.own_bounds(alpha), self.unseen_bounds(alpha)
        return own if wider is None else (min(own[0], wider[0]), max(own[1], wider[1]))

    def p_above(self, limit: float) -> float:
        """One-sided p of H0: the true mean is at most `limit`; under alpha exactly when the lower bound is above."""
        return self._p(self.mean - limit, -self.sums, -self.low, -limit)

    def p_below(self, limit: float) -> float:
        """One-sided p of H0: the true mean is at least `limit`; under alpha exactly when the upper bound is below."""
        return self._p(limit - self.mean, self.sums, self.high, limit)

    def _p(self, distance: float, sums: Floats, worst: float, limit: float) -> float:
        if self.units == 1:
            return 1.0
        if self.se == 0:
            return upper_tail(unseen_quantile(distance / self.scale, self.units), self.degrees)
        by_t = upper_tail(distance / self.se, self.units - 1)
        return max(by_t, unseen_tail(sums, self.sizes, worst, limit)) if self.sparse else by_t


def few_changes(means: Floats) -> bool:
    """Whether fewer than FEW_CHANGES of the units, [G], differ from the commonest one."""
    return changed_units(means) < FEW_CHANGES


def changed_units(means: Floats) -> int:
    """How many of the units, [G], differ from the commonest one (in twelve digits)."""
    _, counts = np.unique(np.round(means, 12), return_counts=True)
    return means.size - int(counts.max() if counts.max() > 1 else 0)


def unseen_tail(sums: Floats, sizes: Floats, worst: float, mean: float) -> float:
    """p of H0: the true mean is at least `mean`, over units with these sums and sizes, [G], no value over `worst`.

    Dirichlet weights are exponentials over their sum, so the weighted mean reaches `mean` when
    sum E_i (sums_i - mean sizes_i) reaches 0, i = 0 being the unseen unit. Its chance is Barndorff-Nielsen's
    saddlepoint approximation (within 2 % of the exact binomial tail). 1 where `mean` is at or below the estimate
    that counts the unseen unit as a half, 0 above `worst`.
    """
    return upper_tail(unseen_deviate(sums, sizes, worst, mean))


def unseen_bound(sums: Floats, sizes: Floats, worst: float, alpha: float) -> float:
    """The mean at which `unseen_tail` is alpha, by false position on the normal scale, within 1e-10."""
    target = normal_quantile(1 - alpha)
    low, high = float(sums.sum() / sizes.sum()), worst
    at_low, at_high = -target, math.inf
    middle = _first_guess(sums, sizes, worst, target)
    for step in range(_STEPS):
        if high - low <= 1e-10 * max(1.0, abs(worst)):
            break
        if not low < middle < high or step % 4 == 3:
            middle = (low + high) / 2
        score = unseen_deviate(sums, sizes, worst, middle) - target
        if score < 0:
            low, at_low = middle, score
        else:
            high, at_high = middle, score
        if abs(score) < 1e-8:
            return middle
        middle = low + (high - low) * -at_low / (at_high - at_low) if math.isfinite(at_high) else (low + high) / 2
    return (low + high) / 2


def _first_guess(sums: Floats, sizes: Floats, worst: float, target: float) -> float:
    size = float(sizes.mean())
    mean = float((sums.sum() + worst * size) / (sizes.sum() + size))
    return mean + target * math.sqrt(float(((sums - mean * sizes) ** 2).sum()) + ((worst - mean) * size) ** 2) / float(
        sizes.sum() + size
    )


def unseen_deviate(sums: Floats, sizes: Floats, worst: float, mean: float) -> float:
    """The normal deviate of `unseen_tail`: r* = w + log(v / w) / w at the saddlepoint of -sum log(1 - t a_i)."""
    if mean >= worst:
        return math.inf
    a = np.append(sums - mean * sizes, (worst - mean) * sizes.mean())
    lowest, highest = float(a.min()), float(a.max())
    if lowest >= 0:
        return -math.inf
    spread = math.sqrt(float((a * a).sum()))
    a, low, high = a / spread, spread / lowest, spread / highest
    poles, t = (low, high), 0.0
    for _ in range(_STEPS):
        terms = a / (1 - t * a)
        slope, curve = float(terms.sum()), float((terms * terms).sum())
        if slope < 0:
            low = t
        else:
            high = t
        step = t - slope / curve
        # Never onto a pole: there a Newton step is as short as at the root.
        step = min(max(step, t + _TOWARDS_POLE * (poles[0] - t)), t + _TOWARDS_POLE * (poles[1] - t))
        if abs(step - t) < 1e-9:
            break
        t = step if low < step < high else (low + high) / 2
    terms = a / (1 - t * a)
    curve = float((terms * terms).sum())
    w = math.copysign(math.sqrt(max(0.0, 2 * float(np.log1p(-t * a).sum()))), t)
    if abs(w) < 1e-4:
        return float((terms**3).sum()) / (3 * curve * math.sqrt(curve))
    return w + math.log(t * math.sqrt(curve) / w) / w
