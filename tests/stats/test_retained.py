"""The share of the fine-tuning gain that is kept: exact cases, properties, and how often its bounds miss."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student

from harness.stats import Decision, RetainedShare, retained_documents, retained_items
from harness.stats.contrast import contrast_z
from harness.stats.tango import tango_z

Floats = NDArray[np.float64]


def outcomes(**counts: int) -> tuple[Floats, Floats, Floats]:
    """Base, fine-tuned model and candidate from counts such as `b0f1c1=30`."""
    rows = [[float(name[place]) for place in (1, 3, 5)] for name, count in counts.items() for _ in range(count)]
    low, middle, high = np.asarray(rows).T
    return low, middle, high


TYPICAL = outcomes(b0f0c0=120, b0f1c1=90, b0f1c0=8, b0f0c1=3, b1f1c1=75, b1f0c0=3, b1f1c0=1)


@given(n=st.integers(1, 400), lost=st.integers(0, 400), won=st.integers(0, 400), margin=st.floats(-0.9, 0.9))
@example(n=400, lost=0, won=0, margin=1e-17)
@example(n=1, lost=0, won=0, margin=1e-308)
@settings(max_examples=200, deadline=None)
def test_with_three_outcomes_it_is_tangos_test(n: int, lost: int, won: int, margin: float) -> None:
    """The score test of a weighted sum is Tango's z where the outcomes are lost, unchanged and won."""
    b = min(lost, n)
    c = min(won, n - b)
    z = contrast_z([b, n - b - c, c], [1 - margin, -margin, -1 - margin])
    assert z == pytest.approx(tango_z(n, b, c, margin), rel=1e-6, abs=1e-6)


def test_a_hand_computed_share() -> None:
    """Of 94 net items gained (98 won, 3 lost by fine-tuning, less one), the candidate keeps those it still has."""
    low, middle, high = TYPICAL
    found = retained_items(low, middle, high, binary=True)
    assert found.share == pytest.approx((high.sum() - low.sum()) / (middle.sum() - low.sum()))
    assert found.share == pytest.approx(89 / 95)
    assert found.lower is not None
    assert found.upper is not None
    assert 0.80 < found.lower < 89 / 95 < found.upper < 1.05


def test_the_bounds_solve_the_test() -> None:
    """At its bounds the score test is exactly at its quantile: the gate and the interval cannot disagree."""
    low, middle, high = TYPICAL
    found = retained_items(low, middle, high, binary=True)
    for share, z in ((found.lower, 1.6448536), (found.upper, -1.6448536)):
        assert share is not None
        values = (high - low) - share * (middle - low)
        distinct = {value: float((values == value).sum()) for value in np.unique(values)}
        reach = max(1.0, share, 1 - share)
        for extreme in (-reach, reach):
            distinct.setdefault(extreme, 0.0)
        assert contrast_z(list(distinct.values()), list(distinct)) == pytest.approx(z, abs=1e-5)


def test_equal_answers_are_no_certainty() -> None:
    """A candidate that answers like the fine-tuned model has share 1 and room below it, less with more items."""
    widths = []
    for times in (1, 10):
        low, middle, _ = (np.tile(each, times) for each in TYPICAL)
        found = retained_items(low, middle, middle, binary=True)
        assert found.share == 1.0
        assert found.lower is not None
        widths.append(1 - found.lower)
    assert widths[0] > 2.7 / 300 / 0.4
    assert widths[1] < widths[0] / 5


def test_equal_answers_over_clusters_count_as_clusters() -> None:
    """Where nothing was lost, fifty clusters of six items prove no more than fifty items."""
    low, middle, _ = TYPICAL
    labels = np.arange(low.size) // 6
    alone = retained_items(low, middle, middle, binary=True).lower
    found = retained_items(low, middle, middle, binary=True, clusters=labels)
    assert alone is not None
    assert found.lower is not None
    assert found.clusters == 50
    assert 1 - found.lower > 4 * (1 - alone)


ALPHAS = (0.001, 0.01, 0.05, 0.2)


def drawn(seed: int, kind: str, *, size: int) -> RetainedShare:
    """A random case: right or wrong, graded, or documents; in clusters of `size`; at one of four alphas."""
    draw = np.random.default_rng(seed)
    n, gain, flips = int(draw.integers(20, 300)), draw.uniform(0.05, 0.5), draw.uniform(0, 0.3)
    alpha = ALPHAS[seed % 4]
    common = np.repeat(draw.random((n // size + 1, 3)), size, axis=0)[:n]
    u = np.where(draw.random((n, 1)) < draw.random(), common, draw.random((n, 3)))
    low = (u[:, 0] < 0.4).astype(float)
    middle = np.where(u[:, 1] < gain, 1.0, low)
    high = np.where(u[:, 2] < flips, draw.random(n) < 0.3, middle).astype(float)
    if kind == "documents":
        tokens = np.exp(draw.normal(5, 0.8, n))
        fallen = (gain * draw.uniform(0.5, 1.5, n) * tokens, gain * draw.uniform(0.2, 1.7, n) * tokens)
        return retained_documents(3 * tokens, 3 * tokens - fallen[0], 3 * tokens - fallen[1], tokens, alpha=alpha)
    if kind == "graded":
        low, middle, high = (each * draw.uniform(0.5, 1, n) for each in (low, middle, high))
    labels = None if size == 1 else np.arange(n) // size
    return retained_items(low, middle, high, binary=kind == "binary", clusters=labels, alpha=alpha)


@pytest.mark.parametrize("kind", ["binary", "graded", "documents"])
@pytest.mark.parametrize("size", [1, 5])
def test_p_is_under_alpha_exactly_where_the_upper_bound_is_under_the_limit(kind: str, size: int) -> None:
    """The p and the interval are one test: at every limit and alpha they say the same, and at the bound p is alpha."""
    shown = 0
    for seed in range(100):
        found = drawn(seed, kind, size=size)
        if found.state != "shown" or found.upper is None or not found.reliable:
            continue
        shown += 1
        alpha = ALPHAS[seed % 4]
        assert found.p_fail(found.upper) == pytest.approx(alpha, rel=1e-3), seed
        for limit in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, found.upper - 1e-6, found.upper + 1e-6):
            assert (found.p_fail(limit) < alpha) == (limit > found.upper), (seed, limit)
    assert shown > 30


@pytest.mark.parametrize("binary", [True, False])
def test_no_gain_no_share(binary: bool) -> None:
    """A gain whose bound reaches 0 has no share, and one below 0 is called worse; neither decides anything."""
    low, middle, high = outcomes(b0f1c1=10, b1f0c0=8, b0f0c0=80)
    found = retained_items(low, middle, high, binary=binary)
    assert (found.state, found.share, found.lower, found.upper) == ("not shown", None, None, None)
    assert found.gain_lower < 0 < found.gain_upper
    assert found.decide(0.9) == Decision.INCONCLUSIVE
    assert retained_items(middle, low, high, binary=binary).state == "not shown"
    low, middle, high = outcomes(b1f0c0=40, b0f0c0=80)
    assert retained_items(low, middle, high, binary=binary).state == "worse"


def test_graded_bounds_are_fiellers() -> None:
    """The bounds are the roots of the paired t test of kept - r gain, by scipy's t."""
    draw = np.random.default_rng(0)
    low = draw.random(80)
    middle = low + draw.normal(0.2, 0.3, 80)
    high = middle - draw.normal(0.02, 0.1, 80)
    found = retained_items(low, middle, high, binary=False)
    for share, sign in ((found.lower, 1), (found.upper, -1)):
        assert share is not None
        values = (high - low) - share * (middle - low)
        t = values.mean() / (values.std(ddof=1) / math.sqrt(80))
        assert t == pytest.approx(sign * student.ppf(0.95, 79), rel=1e-9)


def test_documents_are_weighed_by_their_length() -> None:
    """Share of the summed fall in likelihood; the same whatever the unit of weight, and 1 for the same computation."""
    tokens = np.arange(100.0, 130.0)
    gain = 0.3 + 0.05 * np.sin(tokens)
    low, middle = 3 * tokens, (3 - gain) * tokens
    high = middle + 0.03 * tokens
    found = retained_documents(low, middle, high, tokens)
    assert found.share == pytest.approx(1 - 0.03 * tokens.sum() / (gain * tokens).sum())
    assert found.gain == pytest.approx((gain * tokens).sum() / tokens.sum())
    same = retained_documents(low, middle, middle, tokens)
    assert (same.share, same.lower, same.upper) == pytest.approx((1, 1, 1))
    halves = retained_documents(low, middle, high, tokens / 2)
    assert (halves.lower, halves.upper) == pytest.approx((found.lower, found.upper))
    few = retained_documents(low[:19], middle[:19], high[:19], tokens[:19])
    assert (few.reliable, few.decide(0.5)) == (False, Decision.INCONCLUSIVE)
    alone = retained_documents(low[:1], middle[:1], high[:1], tokens[:1])
    assert (alone.state, alone.share) == ("not shown", None)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_order_does_not_matter_and_bounds_surround_the_share(seed: int) -> None:
    """Items may come in any order; the interval holds the share, and the graded and the binary share agree."""
    draw = np.random.default_rng(seed)
    low = (draw.random(90) < 0.4).astype(float)
    middle = np.where(draw.random(90) < 0.5, 1.0, low)
    high = np.where(draw.random(90) < 0.1, 1 - middle, middle)
    found = retained_items(low, middle, high, binary=True)
    turned = retained_items(low[::-1], middle[::-1], high[::-1], binary=True)
    assert (found.lower, found.upper) == pytest.approx((turned.lower, turned.upper))
    if found.share is not None and found.lower is not None and found.upper is not None:
        assert found.lower < found.share < found.upper
        assert retained_items(low, middle, high, binary=False).share in (pytest.approx(found.share), None)


def world(
    draw: np.random.Generator, n: int, *, gain: float, kept: float, size: int = 1
) -> tuple[Floats, Floats, Floats, NDArray[np.int64] | None]:
    """Right-or-wrong items where fine-tuning gains `gain` and the candidate keeps `kept` of it, with 4 % flips or more;
    items lean together in clusters of `size`."""

    def leaning(p: float) -> NDArray[np.bool_]:
        if size == 1:
            return draw.random(n) < p
        shared = draw.beta(2 * p, 2 * (1 - p), size=n // size)
        return (draw.random((n // size, size)) < shared[:, None]).ravel()

    low = leaning(0.4)
    middle = np.where(low, ~leaning(0.02 / 0.4), leaning((gain + 0.02) / 0.6))
    loss = (1 - kept) * gain
    flips = max(0.04, loss + 0.01)
    right = 0.4 + gain
    high = np.where(middle, ~leaning((flips + loss) / 2 / right), leaning((flips - loss) / 2 / (1 - right)))
    labels = None if size == 1 else np.repeat(np.arange(n // size), size)
    return low.astype(float), middle.astype(float), high.astype(float), labels


@pytest.mark.parametrize(
    ("n", "gain", "size"),
    [(60, 0.05, 1), (60, 0.3, 1), (200, 0.05, 1), (200, 0.15, 1), (60, 0.3, 5), (200, 0.15, 5)],
)
def test_a_candidate_on_the_limit_seldom_passes_or_fails(n: int, gain: float, size: int) -> None:
    """At a true share of exactly the limit, false PASS and false FAIL stay at 5 % but for the simulation's error, with
    small gains and with clusters."""
    draw = np.random.default_rng([n, size, round(100 * gain)])
    rounds = 200
    seen = [
        retained_items(low, middle, high, binary=True, clusters=labels).decide(0.9)
        for low, middle, high, labels in (world(draw, n, gain=gain, kept=0.9, size=size) for _ in range(rounds))
    ]
    most = 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)
    assert seen.count(Decision.PASS) / rounds < most
    assert seen.count(Decision.FAIL) / rounds < most


def test_a_gain_barely_shown_makes_no_strong_claim() -> None:
    """A FAIL needs the gain too: where 0 is hardly excluded, p is no smaller than that of no gain, however much was
    lost."""
    low, middle, high = outcomes(b0f1c0=11, b1f0c0=2, b1f1c0=5, b0f0c0=182)
    found = retained_items(low, middle, high, binary=True)
    assert found.share is not None
    assert found.share < 0.3
    assert found.p_fail(0.9) == pytest.approx(student.sf((11 - 2) / math.sqrt(13), 1e9), rel=1e-6)


def test_few_changed_clusters_take_gaffkes_bound() -> None:
    """Forty clusters of five, three of them with a loss: the bounds are those of Dirichlet weights with one unseen
    cluster, and wider than the design effect's alone; fifty changed clusters are enough for that."""
    draw = np.random.default_rng(5)
    low, labels = (draw.random(200) < 0.4).astype(float), np.arange(200) // 5
    middle = np.where(draw.random(200) < 0.5, 1.0, low)
    high = middle.copy()
    high[np.flatnonzero(middle == 1)[[0, 40, 80]]] = 0.0
    found = retained_items(low, middle, high, binary=True, clusters=labels)
    assert found.unseen is not None
    assert found.own is not None
    assert (found.lower, found.upper) == (min(found.own[0], found.unseen[0]), max(found.own[1], found.unseen[1]))
    assert found.unseen[0] < found.own[0]
    weights = draw.exponential(size=(200_000, 41))
    for share, worst in ((found.unseen[0], -1.0), (found.unseen[1], max(1.0, found.unseen[1]))):
        sums = np.bincount(labels, weights=(high - low) - share * (middle - low))
        beyond = weights @ np.append(sums, worst * 5)
        assert (beyond * worst > 0).mean() == pytest.approx(0.05, abs=0.003)
    many = np.tile(high, 20)
    found = retained_items(np.tile(low, 20), np.tile(middle, 20), many, binary=True, clusters=np.arange(4000) // 5)
    assert found.unseen is None


@pytest.mark.parametrize(("documents", "gain"), [(20, 0.3), (50, 0.05), (200, 0.01)])
def test_documents_on_the_limit_seldom_pass_or_fail(documents: int, gain: float) -> None:
    """As for items, with documents of very unlike length and skewed gains."""
    draw = np.random.default_rng(documents)
    rounds = 1000
    seen = []
    for _ in range(rounds):
        tokens = np.exp(draw.normal(6, 0.8, documents))
        gained = gain * np.exp(draw.normal(-0.125, 0.5, documents)) + draw.normal(0, 0.03, documents)
        lost = 0.1 * gain * np.exp(draw.normal(-0.125, 0.5, documents)) + draw.normal(0, 0.01, documents)
        low = 3 * tokens
        middle = low - gained * tokens
        seen.append(retained_documents(low, middle, middle + lost * tokens, tokens).decide(0.9))
    assert seen.count(Decision.PASS) / rounds < 0.08
    assert seen.count(Decision.FAIL) / rounds < 0.08


@pytest.mark.parametrize(
    "call",
    [
        lambda: retained_items([1], [1, 0], [1], binary=True),
        lambda: retained_items([], [], [], binary=True),
        lambda: retained_items([0.5], [1], [1], binary=True),
        lambda: retained_items([0], [math.nan], [1], binary=False),
        lambda: retained_items([0], [1], [1], binary=True, alpha=0.6),
        lambda: retained_documents([1, 1], [1, 1], [1, 1], [1, 0]),
        lambda: contrast_z([1], [1, 2]),
        lambda: contrast_z([0, 0], [1, 2]),
    ],
)
def test_what_does_not_fit_is_an_error(call: object) -> None:
    """Wrong lengths, values, weights and alphas are ValueErrors."""
    assert callable(call)
    with pytest.raises(ValueError, match=r"expected|alpha"):
        call()
