"""Paired bootstrap of a statistic of many units at once: F1 over classes, MCC, corpus BLEU, a calibration error.

Both sides get the same weights, drawn as in Rubin's (1981) Bayesian bootstrap: a flat Dirichlet over the units, items
or whole clusters. Weights are never 0, so that a rare class is in every draw. As in Gaffke's bound of a mean
(`harness.stats.bounded`) one unit that was not seen has its share of the weights: for the upper bound of a loss the
unit with which the baseline does best and the candidate worst, for the lower one the other way round. Units that all
agree are thus no certainty; for a share of right answers without a flip the bound is Clopper's and Pearson's. Bias that
the draws show (a calibration error is never below 0) widens both bounds, and never shifts them inwards.

The statistic is a function of sums over units, so that draws are one product of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.stats.decision import check_alpha, cluster_codes

Floats = NDArray[np.float64]
OfSums = Callable[[Floats], Floats]
"""From sums over units, [..., k], to the statistic, [...]."""
OfUnits = Callable[[Floats], float]
"""From what n units add, [n, k], to a number."""
RESAMPLES = 2000
MOST_UNITS = 50_000
"""More units than this are put together at random into so many."""
FEW_UNITS = 20
"""Under this many units nothing is decided."""
_BLOCK = 1 << 22
"""Weights in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What n units add to the sums behind a statistic, for both sides."""

    baseline: Floats
    candidate: Floats
    """[n, k]"""
    of: OfSums
    higher_is_better: bool
    best: Floats
    worst: Floats
    """What one unit can add at best and at worst, [m, k]: m pairs, each of one unit answered well and badly."""
    counts: Floats | None = None
    """How many units a row stands for, [n]; one each where it is None."""
    inflation: OfUnits | None = None
    """From the units of a side to the most that its statistic is expected to be too high by the sample's own noise."""
    clustered: bool = False

    @property
    def units(self) -> int:
        return self.baseline.shape[0] if self.counts is None else int(self.counts.sum())

    @property
    def changed(self) -> int:
        """Units on which the two sides differ."""
        differ = (self.baseline != self.candidate).any(axis=1)
        return int(differ.sum() if self.counts is None else self.counts[differ].sum())


@dataclass(frozen=True, kw_only=True)
class WholeChange:
    """A number that follows from both sides' statistics, with one-sided bounds at 1 - alpha each."""

    value: float
    lower: float
    upper: float
    error: float
    """Standard deviation of the draws."""
    low: Floats = field(repr=False)
    high: Floats = field(repr=False)
    """Draws for the lower and for the upper bound, in ascending order."""

    def p_above(self, limit: float) -> float:
        """One-sided p of H0: the truth is at most `limit`; at most alpha exactly when `lower` is above it."""
        if limit >= self.value:
            return 1.0
        return (1 + int((self.low <= limit).sum())) / (self.low.size + 1)

    def p_below(self, limit: float) -> float:
        """One-sided p of H0: the truth is at least `limit`; at most alpha exactly when `upper` is below it."""
        if limit <= self.value:
            return 1.0
        return (1 + int((self.high >= limit).sum())) / (self.high.size + 1)

    @property
    def p_change(self) -> float:
        """Two-sided p of H0: the truth is 0."""
        return min(1.0, 2 * min(self.p_above(0.0), self.p_below(0.0)))


Sides = tuple[Floats, Floats]
OfSides = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """Both sides' statistic as seen and in every draw."""

    baseline: float
    candidate: float
    plain: Sides
    harmed: Sides
    """With an unseen unit at the candidate's cost."""
    helped: Sides
    """With one at the baseline's."""
    inflation: tuple[float, float] = (0.0, 0.0)
    """The most that each side is expected to be too high."""
    units: int
    changed: int
    clustered: bool
    higher_is_better: bool
    trouble: str = ""
    """Why the draws say nothing."""

    @property
    def unreliable(self) -> str:
        """Why nothing is decided; empty where something is."""
        if self.trouble:
            return self.trouble
        thing = "clusters" if self.clustered else "items"
        if self.units < FEW_UNITS:
            return f"only {self.units} {thing}; under {FEW_UNITS} a bootstrap decides nothing"
        return ""

    def loss(self, *, alpha: float) -> WholeChange:
        """Harm: baseline minus candidate, or the other way round where less is better."""
        sign = 1.0 if self.higher_is_better else -1.0
        found = self._bounded(lambda left, right: sign * (left - right), alpha)
        left, right = self.inflation if self.higher_is_better else self.inflation[::-1]
        return _moved(found, -left, right, alpha)

    def kept(self, *, alpha: float) -> WholeChange:
        """candidate / baseline. Raises ValueError where the baseline has nothing."""
        if self.baseline <= 0:
            raise ValueError("the baseline's value is not positive, so that no share of it can be kept")
        return self._bounded(_ratio, alpha, harm_is_low=True)

    def own(self, *, alpha: float) -> WholeChange:
        """The candidate's value by itself."""
        found = self._bounded(lambda _, right: right, alpha, harm_is_low=self.higher_is_better)
        return _moved(found, -self.inflation[1], 0.0, alpha)

    def _bounded(self, of: OfSides, alpha: float, *, harm_is_low: bool = False) -> WholeChange:
        """Bounds of a number of both sides; `harm_is_low`: the candidate's harm makes it lower."""
        check_alpha(alpha)
        value = float(of(np.array(self.baseline), np.array(self.candidate)))
        plain = of(*self.plain)
        low, high = (self.harmed, self.helped) if harm_is_low else (self.helped, self.harmed)
        bias = float(plain.mean()) - value
        bias = bias if any(self.inflation) else 2 * bias
        found = WholeChange(
            value=value,
            lower=0.0,
            upper=0.0,
            error=float(plain.std()),
            low=np.sort(of(*low)),
            high=np.sort(of(*high)),
        )
        return _moved(found, -max(0.0, bias), max(0.0, -bias), alpha)


def _ratio(left: Floats, right: Floats) -> Floats:
    """A draw in which the baseline has nothing keeps everything and nothing: it is in neither bound's favour."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.asarray(right / left), nan=1.0, posinf=np.inf, neginf=-np.inf)


def _moved(found: WholeChange, down: float, up: float, alpha: float) -> WholeChange:
    """With the draws for the lower bound moved by `down` and those for the upper one by `up`."""
    low, high = found.low + down, found.high + up
    place = math.floor(alpha * (low.size + 1) + 1e-9) - 1
    seen = found.value
    return replace(
        found,
        low=low,
        high=high,
        lower=min(seen, float(low[place])) if place >= 0 else -math.inf,
        upper=max(seen, float(high[-1 - place])) if place >= 0 else math.inf,
    )


def summed(
    baseline: ArrayLike,
    candidate: ArrayLike,
    of: OfSums,
    *,
    best: ArrayLike,
    worst: ArrayLike,
    higher_is_better: bool = True,
    clusters: ArrayLike | None = None,
    inflation: OfUnits | None = None,
) -> Sums:
    """`Sums` of items, [n, k] each; of clusters where `clusters`, [n] labels of any kind, are given. An unseen cluster
    has as many items as one has on average. Raises ValueError for arrays that do not fit or are not finite."""
    left, right = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    good, bad = np.asarray(best, dtype=np.float64), np.asarray(worst, dtype=np.float64)
    if left.ndim != 2 or left.shape != right.shape or not left.size:
        raise ValueError(
            f"summed: expected two tables of one shape with a row an item, got {left.shape}, {right.shape}"
        )
    if good.shape != bad.shape or good.ndim != 2 or good.shape[1:] != left.shape[1:] or not good.size:
        raise ValueError(
            f"summed: expected best and worst rows of width {left.shape[1]}, got {good.shape}, {bad.shape}"
        )
    if not all(np.isfinite(each).all() for each in (left, right, good, bad)):
        raise ValueError("summed: expected finite numbers")
    if clusters is not None:
        labels = cluster_codes(clusters, left.shape[0], "summed")
        left, right = _added(left, labels), _added(right, labels)
        size = labels.size / left.shape[0]
        good, bad = good * size, bad * size
    return Sums(
        baseline=left,
        candidate=right,
        of=of,
        higher_is_better=higher_is_better,
        best=good,
        worst=bad,
        inflation=inflation,
        clustered=clusters is not None,
    )


def best_quarter(rows: Floats, of: OfSums, *, higher_is_better: bool = True) -> Floats:
    """The mean of the rows that help the statistic most, a quarter of them, [1, k]: what one more good answer adds
    where there is no best one (texts of any length)."""
    whole = rows.sum(axis=0)
    helps = of(whole + rows) - of(whole)
    order = np.argsort(-helps if higher_is_better else helps, kind="stable")
    best: Floats = rows[order[: max(1, len(rows) // 4)]].mean(axis=0, keepdims=True)
    return best


def _added(rows: Floats, labels: NDArray[np.int64]) -> Floats:
    found = np.zeros((int(labels.max()) + 1, rows.shape[1]))
    np.add.at(found, labels, rows)
    return found


def resample(sums: Sums, *, seed: int = 0, resamples: int = RESAMPLES, most_units: int = MOST_UNITS) -> Resampled:
    """Draw both sides. The same numbers for the same seed, whatever the machine."""
    rng = np.random.default_rng(seed)
    left, right, counts = _blocks(sums, rng, most_units)
    of, whole = sums.of, (sums.baseline, sums.candidate)
    weigh = np.ones(len(sums.baseline)) if sums.counts is None else sums.counts
    base, cand = (weigh @ each for each in whole)
    sign = 1.0 if sums.higher_is_better else -1.0
    harm = int((sign * (of(base + sums.best) - of(cand + sums.worst))).argmax())
    help_ = int((sign * (of(base + sums.worst) - of(cand + sums.best))).argmin())
    drawn: list[tuple[Floats, ...]] = []
    step = max(1, _BLOCK // len(left))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        weights = (
            rng.standard_exponential((count, len(left)))
            if counts is None
            else rng.standard_gamma(np.broadcast_to(counts, (count, len(left))))
        )
        unseen = rng.standard_exponential((count, 1))
        x, y = weights @ left, weights @ right
        drawn.append(
            (
                *(of(x), of(y)),
                *(of(x + unseen * sums.best[harm]), of(y + unseen * sums.worst[harm])),
                *(of(x + unseen * sums.worst[help_]), of(y + unseen * sums.best[help_])),
            )
        )
    x, y, harmed_x, harmed_y, helped_x, helped_y = (np.concatenate(each) for each in zip(*drawn, strict=True))
    inflation = (0.0, 0.0) if sums.inflation is None else (sums.inflation(left), sums.inflation(right))
    finite = all(np.isfinite(each).all() for each in (x, y, harmed_x, harmed_y, helped_x, helped_y))
    return Resampled(
        baseline=float(of(base)),
        candidate=float(of(cand)),
        plain=(x, y),
        harmed=(harmed_x, harmed_y),
        helped=(helped_x, helped_y),
        inflation=inflation,
        units=sums.units,
        changed=sums.changed,
        clustered=sums.clustered,
        higher_is_better=sums.higher_is_better,
        trouble="" if finite else "in some draws the statistic has no value",
    )


def _blocks(sums: Sums, rng: np.random.Generator, most: int) -> tuple[Floats, Floats, Floats | None]:
    """At most so many rows: more units are put together at random, in blocks of about one size."""
    if len(sums.baseline) <= most:
        return sums.baseline, sums.candidate, sums.counts
    if sums.counts is not None:
        raise ValueError(f"resample: expected at most {most} different rows with counts")
    block = rng.permutation(np.arange(len(sums.baseline)) % most)
    return _added(sums.baseline, block), _added(sums.candidate, block), None
