"""What a suite can certify: the published numbers, and the formula against exact enumeration."""

from __future__ import annotations

import math
import statistics

import pytest
from scipy.stats import multinomial

from harness.stats import (
    DISCORDANCE_PRIORS,
    Decision,
    certifiable_drop,
    items_needed,
    paired_drop,
    pass_probability,
    zero_flip_items,
)


@pytest.mark.parametrize(("margin", "items"), [(0.01, 268), (0.02, 133), (0.03, 88), (0.05, 52)])
def test_zero_flip_items_published(margin: float, items: int) -> None:
    """268, 133, 88 and 52 identical answers pass 1, 2, 3 and 5 points."""
    assert zero_flip_items(margin) == items


@pytest.mark.parametrize("margin", [0.004, 0.013, 0.07, 0.4])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_zero_flip_items_is_where_the_verdict_turns(margin: float, alpha: float) -> None:
    """That many identical answers PASS, one fewer do not."""
    items = zero_flip_items(margin, alpha)
    assert paired_drop(items, 0, 0, margin=margin, alpha=alpha).verdict == Decision.PASS
    assert paired_drop(items - 1, 0, 0, margin=margin, alpha=alpha).verdict == Decision.INCONCLUSIVE


@pytest.mark.parametrize(
    ("n", "discordance", "points"), [(1000, 0.04, 1.6), (1000, 0.08, 2.2), (200, 0.04, 3.5), (200, 0.08, 4.9)]
)
def test_certifiable_drops_published(n: int, discordance: float, points: float) -> None:
    """1000 items certify 1.6 and 2.2 points, 200 items 3.5 and 4.9, at 80 % power and no true drop."""
    assert round(100 * certifiable_drop(n, discordance=discordance), 1) == points


def test_the_formula_and_the_exact_need_published() -> None:
    """m = 2 points at d = 5 %: 769 items by the formula, 820 exactly; the 10 % on top cover the gap."""
    assert items_needed(0.02, discordance=0.05, inflate=0) == 769
    assert pass_probability(769, margin=0.02, discordance=0.05) < 0.8
    assert pass_probability(800, margin=0.02, discordance=0.05) < 0.8
    assert pass_probability(820, margin=0.02, discordance=0.05) >= 0.8
    assert items_needed(0.02, discordance=0.05) == math.ceil(768.2 * 1.1)


def typical_power(n: int, margin: float, discordance: float, true_drop: float) -> float:
    """Mean over a dozen sizes from n: counts are whole, so the exact power zigzags."""
    return statistics.fmean(
        pass_probability(size, margin=margin, discordance=discordance, true_drop=true_drop) for size in range(n, n + 12)
    )


PLANS = [(0.01, 0.0), (0.02, 0.0), (0.03, 0.005), (0.02, -0.005)]


@pytest.mark.parametrize("ratio", [2, 3, 6])
@pytest.mark.parametrize(("margin", "true_drop"), PLANS)
def test_the_items_asked_for_give_the_power(margin: float, true_drop: float, ratio: float) -> None:
    """From a discordance of twice the margin, the exact power is the one asked for and not wastefully more."""
    n = items_needed(margin, discordance=ratio * margin, true_drop=true_drop)
    assert 0.8 <= typical_power(n, margin, ratio * margin, true_drop) <= 0.84


@pytest.mark.parametrize("ratio", [1, 1.2, 1.5])
@pytest.mark.parametrize(("margin", "true_drop"), PLANS)
def test_a_small_discordance_costs_some_power(margin: float, true_drop: float, ratio: float) -> None:
    """Below twice the margin the formula falls short, by seven points at worst."""
    n = items_needed(margin, discordance=ratio * margin, true_drop=true_drop)
    assert 0.73 <= typical_power(n, margin, ratio * margin, true_drop) < 0.8


@pytest.mark.parametrize("n", [150, 600, 3000])
@pytest.mark.parametrize("true_drop", [0.0, 0.01])
def test_certifiable_drop_inverts_items_needed(n: int, true_drop: float) -> None:
    """n items are enough for the margin returned, and not for one a hair smaller."""
    margin = certifiable_drop(n, discordance=0.06, true_drop=true_drop)
    assert items_needed(margin, discordance=0.06, true_drop=true_drop, inflate=0) <= n
    assert items_needed(margin - 1e-6, discordance=0.06, true_drop=true_drop, inflate=0) > n


def test_no_discordance_still_needs_items() -> None:
    """Where nothing is expected to flip, the zero-flip number is the floor."""
    assert items_needed(0.02, discordance=0.0) == zero_flip_items(0.02)
    assert items_needed(0.02, discordance=0.002) == zero_flip_items(0.02)


def test_more_items_certify_less() -> None:
    """The certifiable drop falls with the number of items; one item certifies nothing useful."""
    drops = [certifiable_drop(n, discordance=0.05) for n in (1, 50, 200, 1000, 10_000)]
    assert drops == sorted(drops, reverse=True)
    assert drops[0] > 0.5


@pytest.mark.parametrize(("n", "true_drop"), [(30, 0.0), (60, 0.05), (45, -0.08)])
def test_pass_probability_is_the_sum_over_every_table(n: int, true_drop: float) -> None:
    """Against scipy's multinomial and the verdict of `paired_drop`, table by table."""
    worse, better = (0.2 + true_drop) / 2, (0.2 - true_drop) / 2
    expected = sum(
        float(multinomial.pmf([b, c, n - b - c], n, [worse, better, 1 - worse - better]))
        for b in range(n + 1)
        for c in range(n + 1 - b)
        if paired_drop(n, b, c, margin=0.1).verdict == Decision.PASS
    )
    found = pass_probability(n, margin=0.1, discordance=0.2, true_drop=true_drop)
    assert found == pytest.approx(expected, abs=1e-9)


def test_pass_probability_at_the_extremes() -> None:
    """Certain where nothing can flip and items suffice, impossible where they do not."""
    assert pass_probability(133, margin=0.02, discordance=0.0) == pytest.approx(1.0)
    assert pass_probability(132, margin=0.02, discordance=0.0) == 0.0
    assert pass_probability(20_000, margin=0.02, discordance=0.05) == pytest.approx(1.0)


def test_priors_published() -> None:
    """3.6 % for 8 bits, 7.9 % for 4 bits; fewer bits flip more."""
    assert (DISCORDANCE_PRIORS[8], DISCORDANCE_PRIORS[4]) == (0.036, 0.079)
    by_bits = [DISCORDANCE_PRIORS[bits] for bits in sorted(DISCORDANCE_PRIORS)]
    assert by_bits == sorted(by_bits, reverse=True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"discordance": 1.5}, "discordance"),
        ({"discordance": math.nan}, "discordance"),
        ({"true_drop": 0.02}, "true_drop"),
        ({"true_drop": 0.2}, "true_drop"),
        ({"true_drop": math.nan}, "true_drop"),
        ({"power": 1.0}, "power"),
        ({"power": 0.2}, "power"),
        ({"alpha": 0.5}, "alpha"),
        ({"inflate": -0.1}, "inflate"),
    ],
)
def test_bad_plans_are_refused(options: dict[str, float], says: str) -> None:
    """Rates, powers and levels out of range raise ValueError naming the argument."""
    with pytest.raises(ValueError, match=says):
        items_needed(0.02, **({"discordance": 0.05} | options))


def test_no_items_are_refused() -> None:
    """Nothing can be certified or passed with no item: ValueError."""
    with pytest.raises(ValueError, match="at least one item"):
        certifiable_drop(0, discordance=0.05)
    with pytest.raises(ValueError, match="at least one item"):
        pass_probability(0, margin=0.02, discordance=0.05)
