"""How often each gate form is wrong, by simulation: false PASS and false FAIL, and power beside an unpaired z-test.

    python benchmarks/simulate.py                 all cases, a few minutes, into docs/statistics.md
    python benchmarks/simulate.py --sims 200      quicker and coarser, printed only
    python benchmarks/simulate.py --form recovery only the forms with this in their name

Every case has its own seeded generator, so the numbers depend neither on the machine nor on the order. Data are
drawn with a known truth (no drop, exactly the limit, twice the limit) and judged by the functions the gate calls.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.stats import (
    BettingTest,
    Decision,
    clustered_drop,
    clustered_recovery,
    graded_recovery,
    mean_level,
    paired_drop,
    paired_recovery,
    perplexity_ratio,
    retained_documents,
    retained_items,
    speed_ratio,
)
from harness.stats.bounded import BoundedMean
from harness.stats.decision import above

SEED = 20_260
ALPHA = 0.05
Z = 1.6448536269514722
ITEMS = (50, 100, 200, 500, 1000, 2000)
DISCORDANCE = (0.02, 0.05, 0.10, 0.20)
TRUTHS = (0.0, 1.0, 2.0)
"""True loss in limits: none, exactly the limit, twice the limit."""
BASELINE = 0.7
"""Share of items the baseline gets right."""
PAGE = Path(__file__).resolve().parent.parent / "docs" / "statistics.md"
START, END = "<!-- simulation: written by benchmarks/simulate.py -->", "<!-- end of simulation -->"

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Draw = Callable[[np.random.Generator, int, float], "Outcome"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the gate said of each simulated comparison, [sims], and whether an unpaired z-test would have passed it."""

    passed: Flags
    failed: Flags
    z_passed: Flags | None = None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One gate form on one kind of data."""

    form: str
    setting: str
    n: int
    cost: int
    """Sims are divided by this."""
    draw: Draw
    """(generator, sims, true loss in limits) to what was said."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Rates of a case, one for each of `TRUTHS`."""

    form: str
    setting: str
    n: int
    sims: int
    passed: tuple[float, ...]
    failed: tuple[float, ...]
    z_passed: tuple[float, ...] | None


def _said(found: list[Decision]) -> tuple[Flags, Flags]:
    return np.array([each == Decision.PASS for each in found]), np.array([each == Decision.FAIL for each in found])


def _z_passed(base: Floats, cand: Floats, n: int, margin: float, variances: Floats) -> Flags:
    """The unpaired z-test of non-inferiority on the same data, blind to which answers belong together."""
    passed: Flags = (base - cand - margin) < -Z * np.sqrt(variances / n)
    return passed


def binary_limit(d: float) -> float:
    """The limit tried at a discordance: half of it, so that twice the limit can be reached, at most 5 points."""
    return min(d / 2, 0.05)


def _flip_counts(rng: np.random.Generator, sims: int, n: int, d: float, drop: float) -> NDArray[np.int64]:
    """Both right, right to wrong, wrong to right, both wrong, [sims, 4]."""
    worse, better = (d + drop) / 2, (d - drop) / 2
    return rng.multinomial(n, [BASELINE - worse, worse, better, 1 - BASELINE - better], size=sims)


def _shares(counts: NDArray[np.int64], n: int) -> tuple[Floats, Floats, Floats]:
    base, cand = (counts[:, 0] + counts[:, 1]) / n, (counts[:, 0] + counts[:, 2]) / n
    return base, cand, base * (1 - base) + cand * (1 - cand)


def max_drop(n: int, d: float) -> Draw:
    limit = binary_limit(d)

    @functools.cache
    def judged(b: int, c: int) -> Decision:
        return paired_drop(n, b, c, margin=limit).verdict

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        counts = _flip_counts(rng, sims, n, d, truth * limit)
        passed, failed = _said([judged(int(b), int(c)) for b, c in counts[:, 1:3]])
        base, cand, variance = _shares(counts, n)
        return Outcome(passed=passed, failed=failed, z_passed=_z_passed(base, cand, n, limit, variance))

    return draw


def recovery(n: int, d: float) -> Draw:
    limit = binary_limit(d)
    kept = 1 - limit / BASELINE

    @functools.cache
    def judged(both: int, b: int, c: int) -> Decision:
        found = paired_recovery(n, both, b, c)
        return Decision.PASS if found.lower > kept else Decision.FAIL if found.upper < kept else Decision.INCONCLUSIVE

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        counts = _flip_counts(rng, sims, n, d, truth * limit)
        passed, failed = _said([judged(int(both), int(b), int(c)) for both, b, c in counts[:, :3]])
        base, cand, _ = _shares(counts, n)
        variance = kept**2 * base * (1 - base) + cand * (1 - cand)
        return Outcome(passed=passed, failed=failed, z_passed=_z_passed(kept * base, cand, n, 0.0, variance))

    return draw


def clustered(n: int, d: float, size: int, icc: float, *, as_recovery: bool = False) -> Draw:
    """Items of a cluster take the cluster's own draw with chance sqrt(icc): any two correlate by icc."""
    limit, labels = binary_limit(d), np.arange(n) // size
    kept = 1 - limit / BASELINE

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        worse, better = (d + truth * limit) / 2, (d - truth * limit) / 2
        cuts = np.cumsum([BASELINE - worse, worse, better])
        own, common = rng.random((sims, n)), np.repeat(rng.random((sims, n // size)), size, axis=1)
        kinds = np.searchsorted(cuts, np.where(rng.random((sims, n)) < math.sqrt(icc), common, own), side="right")
        found, base, cand = [], np.isin(kinds, (0, 1)), np.isin(kinds, (0, 2))
        for left, right in zip(base, cand, strict=True):
            if as_recovery:
                ratio = clustered_recovery(left, right, labels)
                low = Decision.PASS if ratio.lower > kept else Decision.INCONCLUSIVE
                found.append(Decision.FAIL if ratio.upper < kept else low)
            else:
                differences = left.astype(float) - right.astype(float)
                found.append(clustered_drop(differences, labels, margin=limit).verdict)
        passed, failed = _said(found)
        p, q = base.mean(axis=1), cand.mean(axis=1)
        z = None if as_recovery else _z_passed(p, q, n, limit, p * (1 - p) + q * (1 - q))
        return Outcome(passed=passed, failed=failed, z_passed=z)

    return draw


def graded_drop(n: int, d: float, size: int = 1) -> Draw:
    """A share d of the items (whole clusters) changes, by Beta(0.8, 0.8) of the range; the limit is d / 4."""
    limit, labels = d / 4, np.arange(n) // size

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        worse = (truth * limit / (d / 2) + 1) / 2
        units = (sims, n // size)
        amount = rng.beta(0.8, 0.8, units) * np.where(rng.random(units) < worse, 1.0, -1.0)
        changes = np.repeat(np.where(rng.random(units) < d, amount, 0.0), size, axis=1)
        base = rng.beta(2, 1, (sims, n))
        passed, failed = [], []
        for each in changes:
            mean = BoundedMean.of(each, labels, low=-1.0, high=1.0, scale=1.0, clustered=size > 1)
            passed.append(mean.p_below(limit) < ALPHA)
            failed.append(mean.p_above(limit) < ALPHA)
        cand = base - changes
        variance = base.var(axis=1, ddof=1) + cand.var(axis=1, ddof=1)
        z = _z_passed(base.mean(axis=1), cand.mean(axis=1), n, limit, variance)
        return Outcome(passed=np.array(passed), failed=np.array(failed), z_passed=z)

    return draw


def graded_share(n: int, d: float, size: int = 1) -> Draw:
    """The scores of `graded_drop`, judged by the share that is kept; the mean score is 2/3."""
    limit, labels = d / 4, None if size == 1 else np.arange(n) // size
    kept = 1 - limit / (2 / 3)

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        worse = (truth * limit / (d / 2) + 1) / 2
        units = (sims, n // size)
        amount = rng.beta(0.8, 0.8, units) * np.where(rng.random(units) < worse, 1.0, -1.0)
        changes = np.repeat(np.where(rng.random(units) < d, amount, 0.0), size, axis=1)
        base = rng.beta(2, 1, (sims, n))
        return _kept(base, base - changes, labels, kept)

    return draw


def rare_score(n: int, share: float, size: int = 1) -> Draw:
    """Only a share of the items (whole clusters) scores, and scores 1; what is lost is lost whole. The limit lies just
    beyond what no loss at all in so many items can show."""
    units = n // size
    limit, labels = 3.2 / (units * share), None if size == 1 else np.arange(n) // size

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        base = rng.random((sims, units)) < share
        cand = base & (rng.random((sims, units)) >= truth * limit)
        left, right = (np.repeat(each.astype(np.float64), size, axis=1) for each in (base, cand))
        return _kept(left, right, labels, 1 - limit)

    return draw


def _kept(base: Floats, cand: Floats, labels: NDArray[np.int64] | None, limit: float) -> Outcome:
    """What a gate on the share of graded scores says, [sims, n] each. Of no score at all it says nothing."""
    found = [
        above(each.lower, each.upper, limit)
        for left, right in zip(base, cand, strict=True)
        if left.any() and (each := graded_recovery(left, right, clusters=labels))
    ]
    passed, failed = _said(found)
    return Outcome(passed=passed, failed=failed)


def max_increase(documents: int, spread: float, *, heavy: bool) -> Draw:
    """Documents of 50 to 2000 tokens; the extra NLL a token of a document is normal, or t with 3 degrees."""
    limit = 0.02

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        tokens = rng.integers(50, 2000, size=(sims, documents)).astype(np.float64)
        noise = rng.standard_t(3, tokens.shape) / math.sqrt(3) if heavy else rng.standard_normal(tokens.shape)
        delta = tokens * (truth * math.log1p(limit) + spread * noise)
        found = [perplexity_ratio(left, right).decide(limit) for left, right in zip(delta, tokens, strict=True)]
        passed, failed = _said(found)
        between = 0.5
        base = rng.normal(3.0, between, tokens.shape)
        extra = delta / tokens
        variance = base.var(axis=1, ddof=1) + (base + extra).var(axis=1, ddof=1)
        z = _z_passed((base + extra).mean(axis=1), base.mean(axis=1), documents, math.log1p(limit), variance)
        return Outcome(passed=passed, failed=failed, z_passed=z)

    return draw


def level(n: int, floor: float, size: int = 1, icc: float = 0.0) -> Draw:
    """A floor; the true level lies half of the rest above it, on it, or as much below."""
    labels = None if size == 1 else np.arange(n) // size

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        share = floor + (1 - truth) * (1 - floor) / 2
        own, common = rng.random((sims, n)), np.repeat(rng.random((sims, n // size)), size, axis=1)
        right = np.where(rng.random((sims, n)) < math.sqrt(icc), common, own) < share
        known: dict[int, Decision] = {}
        found = []
        for each in right:
            key = int(each.sum())
            if labels is not None or key not in known:
                bounds = mean_level(each, clusters=labels)
                low = Decision.PASS if bounds.lower > floor else Decision.INCONCLUSIVE
                known[key] = Decision.FAIL if bounds.upper < floor else low
            found.append(known[key])
        passed, failed = _said(found)
        return Outcome(passed=passed, failed=failed)

    return draw


KEPT = 0.9
"""The limit of `min_retained`: at no drop everything is kept, at the limit 90 %, at twice the limit 80 %."""


def retained(n: int, gain: float, size: int = 1, icc: float = 0.0, *, graded: bool = False) -> Draw:
    """Base, fine-tuned model and candidate; fine-tuning gains `gain` over a base at 40 %, with 2 % lost on the way.

    The candidate flips of the items 2 % and twice what it may lose. Clusters as in `clustered`. Graded: right and wrong
    are f and 1 - f with f from 0.8 to 1, drawn anew where the candidate flips.
    """
    labels = None if size == 1 else np.arange(n) // size
    tuned = np.array([[0.6 - gain - 0.02, gain + 0.02], [0.02, 0.38]])  # [base, fine-tuned], wrong and right

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        lost, flips = truth * (1 - KEPT) * gain, 0.02 + 2 * (1 - KEPT) * gain
        worse, better = (flips + lost) / 2 / (0.4 + gain), (flips - lost) / 2 / (0.6 - gain)
        shares = tuned[:, :, None] * np.array([[1 - better, better], [worse, 1 - worse]])
        own, common = rng.random((sims, n)), np.repeat(rng.random((sims, n // size)), size, axis=1)
        drawn = np.where(rng.random((sims, n)) < math.sqrt(icc), common, own)
        kinds = np.searchsorted(np.cumsum(shares.ravel())[:-1], drawn, side="right")
        sides = [(kinds >> place & 1).astype(np.float64) for place in (2, 1, 0)]
        if graded:
            f = rng.uniform(0.8, 1.0, (2, sims, n))
            middle, high = sides[1:]
            again = np.where(middle == high, f[0], f[1])
            sides = [np.where(each == 1, by, 1 - by) for each, by in zip(sides, (f[0], f[0], again), strict=True)]
        found = [
            retained_items(*each, clusters=labels, binary=not graded).decide(KEPT) for each in zip(*sides, strict=True)
        ]
        passed, failed = _said(found)
        return Outcome(passed=passed, failed=failed)

    return draw


def retained_texts(documents: int, gain: float) -> Draw:
    """Documents of very unlike length (log-normal, sigma 0.8) with skewed gains, in nats per token."""

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        found = []
        for _ in range(sims):
            tokens = np.exp(rng.normal(6, 0.8, documents))
            gained = gain * np.exp(rng.normal(-0.125, 0.5, documents)) + rng.normal(0, 0.03, documents)
            lost = truth * (1 - KEPT) * gain * np.exp(rng.normal(-0.125, 0.5, documents))
            lost += rng.normal(0, 0.01, documents)
            low = 3 * tokens
            middle = low - gained * tokens
            found.append(retained_documents(low, middle, middle + lost * tokens, tokens).decide(KEPT))
        passed, failed = _said(found)
        return Outcome(passed=passed, failed=failed)

    return draw


def min_ratio(pairs: int, noise: float, *, spikes: bool) -> Draw:
    """Speed-up of 1.3, 1.2 (the limit) or 1.1 with log-normal noise; one pair in ten hit by a pause of up to 30 %."""
    limit = 1.2

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        logs = math.log(limit + (1 - truth) * 0.1) + noise * rng.standard_normal((sims, pairs))
        if spikes:
            pause = rng.uniform(-0.3, 0.3, logs.shape)
            logs += np.where(rng.random(logs.shape) < 0.1, pause, 0.0)
        passed, failed = _said([speed_ratio(each).decide_min(limit) for each in np.exp(logs)])
        return Outcome(passed=passed, failed=failed)

    return draw


def early_fail(n: int, d: float) -> Draw:
    """The test by betting, looked at after every item. It never passes."""
    limit = binary_limit(d)

    def draw(rng: np.random.Generator, sims: int, truth: float) -> Outcome:
        worse, better = (d + truth * limit) / 2, (d - truth * limit) / 2
        u = rng.random((sims, n))
        failed = []
        for each in np.where(u < worse, 1.0, np.where(u < worse + better, -1.0, 0.0)):
            test = BettingTest(margin=limit)
            test.take(each)
            failed.append(test.failed)
        return Outcome(passed=np.zeros(sims, dtype=np.bool_), failed=np.array(failed))

    return draw


def _case(form: str, setting: str, n: int, draw: Draw, cost: int = 1) -> Case:
    return Case(form=form, setting=setting, n=n, draw=draw, cost=cost)


def cases(items: tuple[int, ...] = ITEMS, rates: tuple[float, ...] = DISCORDANCE) -> Iterator[Case]:
    """Every form over numbers of items and discordances, and the clustered ones over sizes and correlations."""
    for d in rates:
        for n in items:
            half = f"d {100 * d:g} %, limit {100 * binary_limit(d):g} pp"
            yield _case("max_drop, right or wrong", half, n, max_drop(n, d))
            yield _case("min_recovery and max_relative_drop", half, n, recovery(n, d), cost=2)
            yield _case("max_drop, graded", f"d {100 * d:g} %, limit {25 * d:g} pp", n, graded_drop(n, d), cost=4)
            if n >= 200:
                yield _case("early FAIL", half, n, early_fail(n, d), cost=8)
    yield from _graded_share_cases([n for n in items if n >= 100], [d for d in rates if d >= 0.05])
    yield from _clustered_cases([n for n in items if n in (200, 1000)], [d for d in rates if d >= 0.05])
    for documents in (20, *[n for n in items if n <= 500]):
        for spread, heavy in ((0.02, False), (0.1, False), (0.1, True)):
            setting = f"{spread} nats between documents{', heavy tails' if heavy else ''}, limit 2 %"
            yield _case("max_increase", setting, documents, max_increase(documents, spread, heavy=heavy))
    for floor in (0.5, 0.8, 0.95):
        for n in items:
            yield _case("min and max of a share", f"floor {100 * floor:g} %", n, level(n, floor))
    for pairs in (10, 20, 40):
        for noise, spikes in ((0.02, False), (0.1, False), (0.02, True)):
            setting = f"noise {100 * noise:g} %{', pauses' if spikes else ''}, limit 1.2 ×"
            yield _case("min_ratio and max_ratio of speed", setting, pairs, min_ratio(pairs, noise, spikes=spikes))
    yield from _retained_cases(items)


def _graded_share_cases(items: list[int], rates: list[float]) -> Iterator[Case]:
    form = "min_recovery and max_relative_drop, graded"
    for d in rates:
        setting = f"d {100 * d:g} %, limit {37.5 * d:g} %"
        for n in items:
            yield _case(form, setting, n, graded_share(n, d), cost=8)
    for share in (0.1, 0.3, 0.7):
        for n in items:
            setting = f"{100 * share:g} % of the items score, limit {320 / (n * share):.2g} %"
            yield _case(form, setting, n, rare_score(n, share), cost=8)
    form += ", clustered"
    for d in rates:
        for n, size in ((n, size) for n in items if n in (200, 1000) for size in (5, 20)):
            setting = f"d {100 * d:g} %, limit {37.5 * d:g} %, {n // size} clusters of {size} that change whole"
            yield _case(form, setting, n, graded_share(n, d, size), cost=8)
    for n in (n for n in items if n >= 500):
        setting = f"30 % of {n // 5} clusters of 5 score, limit {320 / (n // 5 * 0.3):.2g} %"
        yield _case(form, setting, n, rare_score(n, 0.3, 5), cost=8)


def _clustered_cases(items: list[int], rates: list[float]) -> Iterator[Case]:
    for d in rates:
        for n in items:
            half = f"d {100 * d:g} %, limit {100 * binary_limit(d):g} pp"
            for size, icc in ((5, 0.1), (5, 0.5), (20, 0.1), (20, 0.5)):
                setting = f"{half}, {n // size} clusters of {size}, icc {icc}"
                yield _case("max_drop, right or wrong, clustered", setting, n, clustered(n, d, size, icc), cost=4)
                kept = clustered(n, d, size, icc, as_recovery=True)
                yield _case("min_recovery and max_relative_drop, clustered", setting, n, kept, cost=8)
            for size in (5, 20):
                setting = f"d {100 * d:g} %, limit {25 * d:g} pp, {n // size} clusters of {size} that change whole"
                yield _case("max_drop, graded, clustered", setting, n, graded_drop(n, d, size), cost=8)
    for floor in (0.5, 0.8, 0.95):
        for size, icc in ((5, 0.5), (20, 0.1)):
            for n in items:
                setting = f"floor {100 * floor:g} %, {n // size} clusters of {size}, icc {icc}"
                yield _case("min and max of a share, clustered", setting, n, level(n, floor, size, icc), cost=4)


def _retained_cases(items: tuple[int, ...]) -> Iterator[Case]:
    for gain in (0.05, 0.15, 0.3):
        setting = f"gain {100 * gain:g} pp, limit {100 * KEPT:g} %"
        for n in items:
            yield _case("min_retained, right or wrong", setting, n, retained(n, gain), cost=4)
        if gain > 0.05:
            for n in (n for n in items if n in (200, 1000)):
                yield _case("min_retained, graded", setting, n, retained(n, gain, graded=True), cost=4)
                for size, icc in ((5, 0.1), (5, 0.5), (20, 0.1), (20, 0.5)):
                    within = f"{setting}, {n // size} clusters of {size}, icc {icc}"
                    draw = retained(n, gain, size, icc)
                    yield _case("min_retained, right or wrong, clustered", within, n, draw, cost=8)
                    draw = retained(n, gain, size, icc, graded=True)
                    yield _case("min_retained, graded, clustered", within, n, draw, cost=8)
        for documents in (20, *[n for n in items if n <= 500]):
            draw = retained_texts(documents, gain)
            yield _case("min_retained, perplexity", f"gain {gain:g} nats, limit {100 * KEPT:g} %", documents, draw)


def simulate(case: Case, sims: int) -> Row:
    """The case's rates. Seeded by what the case is, so that a case has the same numbers in any selection."""
    count = max(100, sims // case.cost)
    outcomes = []
    for truth in TRUTHS:
        name = f"{case.form}|{case.setting}|{case.n}|{truth}"
        rng = np.random.default_rng([SEED, *name.encode()])
        outcomes.append(case.draw(rng, count, truth))
    rates = [None if each.z_passed is None else float(each.z_passed.mean()) for each in outcomes]
    return Row(
        form=case.form,
        setting=case.setting,
        n=case.n,
        sims=count,
        passed=tuple(float(each.passed.mean()) for each in outcomes),
        failed=tuple(float(each.failed.mean()) for each in outcomes),
        z_passed=None if None in rates else tuple(rate for rate in rates if rate is not None),
    )


def _by_place(place: int, sims: int) -> Row:
    return simulate(list(cases())[place], sims)


def everything(sims: int, processes: int, form: str = "") -> list[Row]:
    """Every case of the forms with this in their name, over processes."""
    places = [place for place, case in enumerate(cases()) if form in case.form]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(functools.partial(_by_place, sims=sims), places, chunksize=2))


def table(rows: list[Row]) -> dict[str, str]:
    """Markdown by form, after an introduction under "": rates in percent, those over 5 % by more than 2 standard errors
    in bold."""
    parts = {
        "": f"{len(list(cases()))} cases, seed {SEED}. Rates in percent at alpha = 5 %. Bold: a false rate above 5 % "
        "by more than twice its Monte-Carlo error. “Unpaired” is the PASS rate of an unpaired z-test on the same data: "
        "at no drop its power, at the limit its false PASS."
    }
    for form in dict.fromkeys(row.form for row in rows):
        mine = [row for row in rows if row.form == form]
        count = mine[0].sims
        unpaired = mine[0].z_passed is not None
        title = (
            f"### {form}\n\n{count:,} simulations a rate; Monte-Carlo error {_error(count):.1f} at 5 %, "
            f"at most {50 / math.sqrt(count):.1f}."
        )
        head = ["data", "n", "no drop: PASS", "FAIL", "at the limit: PASS", "FAIL", "twice the limit: PASS", "FAIL"]
        head += ["unpaired, no drop: PASS", "at the limit: PASS"] if unpaired else []
        lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
        for row in mine:
            wrong = [_rate(row.failed[0], row.sims), _rate(row.passed[1], row.sims), _rate(row.failed[1], row.sims)]
            cells = [row.setting, str(row.n), _plain(row.passed[0]), wrong[0], wrong[1], wrong[2]]
            cells += [_rate(row.passed[2], row.sims), _plain(row.failed[2])]
            if row.z_passed is not None:
                cells += [_plain(row.z_passed[0]), _rate(row.z_passed[1], row.sims)]
            lines.append("| " + " | ".join(cells) + " |")
        parts[form] = title + "\n\n" + "\n".join(lines)
    return parts


def _error(sims: int) -> float:
    return 100 * math.sqrt(ALPHA * (1 - ALPHA) / sims)


def _plain(rate: float) -> str:
    return f"{100 * rate:.1f}"


def _rate(rate: float, sims: int) -> str:
    over = rate > ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / sims)
    return f"**{_plain(rate)}**" if over else _plain(rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=4000, help="simulations of the cheap forms (default 4000)")
    parser.add_argument("--processes", type=int, default=None, help="processes (default: one a core)")
    parser.add_argument("--print", action="store_true", help="print the tables, leave docs/statistics.md alone")
    parser.add_argument("--form", default="", help="only forms with this in their name; the other tables stay")
    asked = parser.parse_args()
    started = time.monotonic()
    found = table(everything(asked.sims, asked.processes, asked.form))
    if asked.print or asked.sims != parser.get_default("sims"):
        print("\n\n".join(found.values()))
    else:
        page = PAGE.read_text(encoding="utf-8")
        before, written, after = page.split(START)[0], page.split(START)[1].split(END)[0], page.split(END)[1]
        stays = {each.partition("\n")[0]: f"### {each.strip()}" for each in written.split("\n### ")[1:]}
        every = ["", *dict.fromkeys(case.form for case in cases())]
        text = "\n\n".join(found.get(form) or stays[form] for form in every)
        PAGE.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}", encoding="utf-8")
        print(f"wrote the tables into {PAGE.relative_to(PAGE.parent.parent)}")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
