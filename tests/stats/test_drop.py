"""The paired drop of a right-or-wrong metric: the published table, the properties, the false-PASS rate."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from harness.stats import Decision, PairedDrop, mcnemar_midp, paired_drop, pass_probability

TABLE = [
    # n, b, c, lower and upper in percentage points (None: not given), z at 2 pp, verdict at 2 pp
    (20, 0, 0, -11.9158, 11.9158, -0.6389, "INCONCLUSIVE"),
    (132, 0, 0, None, 2.0085, -1.6413, "INCONCLUSIVE"),
    (133, 0, 0, None, 1.9937, -1.6475, "PASS"),
    (200, 0, 1, None, 0.8414, -2.2588, "PASS"),
    (200, 1, 0, None, 2.2097, -1.5152, "INCONCLUSIVE"),
    (1000, 20, 20, -1.0720, 1.0720, -2.8989, "PASS"),
    (1000, 20, 0, 1.3908, 2.8682, 0.0, "INCONCLUSIVE"),
    (1000, 68, 18, 3.5407, 6.5766, 3.3846, "FAIL"),
]


@pytest.mark.parametrize(("n", "b", "c", "lower", "upper", "z", "verdict"), TABLE)
def test_the_published_table(n: int, b: int, c: int, lower: float | None, upper: float, z: float, verdict: str) -> None:
    """Every row of the table of Tango's bounds, to the digits shown."""
    found = paired_drop(n, b, c, margin=0.02)
    assert found.verdict == verdict
    assert found.drop == (b - c) / n
    assert round(100 * found.upper, 4) == pytest.approx(upper, abs=1e-9)
    if lower is not None:
        assert round(100 * found.lower, 4) == pytest.approx(lower, abs=1e-9)
    assert found.z == pytest.approx(z, abs=5.1e-5)


@pytest.mark.parametrize("n", [1, 20, 52, 133, 268, 5000])
def test_no_flips_has_a_closed_form(n: int) -> None:
    """U = z^2 / (n + z^2): identical answers never prove that nothing can happen."""
    z = 1.6448536269514722
    found = paired_drop(n, 0, 0, margin=0.02)
    assert found.upper == pytest.approx(z * z / (n + z * z), abs=1e-10)
    assert found.lower == pytest.approx(-found.upper, abs=1e-10)


@pytest.mark.parametrize(("margin", "least"), [(0.01, 268), (0.02, 133), (0.03, 88), (0.05, 52)])
def test_a_run_against_itself_passes_with_enough_items(margin: float, least: int) -> None:
    """Without a flip the verdict turns from INCONCLUSIVE to PASS at the published number of items."""
    assert paired_drop(least, 0, 0, margin=margin).verdict == Decision.PASS
    assert paired_drop(least - 1, 0, 0, margin=margin).verdict == Decision.INCONCLUSIVE


def test_counts_and_shares_are_reported() -> None:
    """Flips, discordance, effective size and design effect of an unclustered comparison."""
    found = paired_drop(1000, 68, 18, margin=0.02)
    assert (found.n, found.right_to_wrong, found.wrong_to_right, found.flips) == (1000, 68, 18, 86)
    assert found.discordance == 0.086
    assert (found.n_effective, found.deff, found.clusters, found.warning) == (1000, 1.0, None, None)
    assert (found.margin, found.alpha) == (0.02, 0.05)
    assert found.mcnemar_midp == mcnemar_midp(68, 18)


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (0, 1)])
def test_one_item_is_judged_and_proves_nothing(counts: tuple[int, int]) -> None:
    """n = 1 has bounds within [-1, 1] around the drop, and INCONCLUSIVE whatever the item did."""
    found = paired_drop(1, *counts, margin=0.02)
    assert -1 <= found.lower <= found.drop <= found.upper <= 1
    assert found.verdict == Decision.INCONCLUSIVE


COUNTS = st.integers(1, 3000).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(n), st.just(b), st.integers(0, n - b)))
)
MARGINS = st.floats(0.001, 0.5)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(counts=COUNTS, margin=MARGINS, alpha=st.sampled_from([0.01, 0.05, 0.1]))
def test_swapping_the_variants_negates_the_drop(counts: tuple[int, int, int], margin: float, alpha: float) -> None:
    """Baseline and candidate exchanged: the drop changes its sign and the bounds mirror."""
    n, b, c = counts
    one, other = (paired_drop(n, *pair, margin=margin, alpha=alpha) for pair in ((b, c), (c, b)))
    assert other.drop == -one.drop
    assert other.lower == pytest.approx(-one.upper, abs=1e-9)
    assert other.upper == pytest.approx(-one.lower, abs=1e-9)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(counts=COUNTS, margin=MARGINS)
def test_verdict_and_bounds_tell_one_story(counts: tuple[int, int, int], margin: float) -> None:
    """The statistic decides exactly as the bounds would; the drop lies between them."""
    found = paired_drop(*counts, margin=margin)
    assert -1 <= found.lower <= found.drop + 1e-12
    assert found.drop - 1e-12 <= found.upper <= 1
    if min(abs(found.upper - margin), abs(found.lower - margin)) > 1e-9:
        expected = "PASS" if found.upper < margin else "FAIL" if found.lower > margin else "INCONCLUSIVE"
        assert found.verdict == expected


@settings(derandomize=True, deadline=None, max_examples=100)
@given(counts=COUNTS, margins=st.tuples(MARGINS, MARGINS))
def test_a_wider_margin_is_never_harder(counts: tuple[int, int, int], margins: tuple[float, float]) -> None:
    """What passes a limit passes every looser one; what fails a limit fails every tighter one."""
    order = [Decision.FAIL, Decision.INCONCLUSIVE, Decision.PASS]
    tight, loose = (paired_drop(*counts, margin=margin).verdict for margin in sorted(margins))
    assert order.index(tight) <= order.index(loose)


def test_a_smaller_alpha_widens_the_interval() -> None:
    """More confidence costs width, on both sides."""
    wide, narrow = (
        paired_drop(300, 9, 6, margin=0.02, alpha=0.01),
        paired_drop(300, 9, 6, margin=0.02, alpha=0.1),
    )
    assert wide.lower < narrow.lower < narrow.upper < wide.upper


@pytest.mark.parametrize(
    ("n", "b", "c", "margin", "alpha", "says"),
    [
        (0, 0, 0, 0.02, 0.05, "at least one pair"),
        (10, 6, 5, 0.02, 0.05, "6 \\+ 5 flips do not fit n = 10"),
        (10, -1, 0, 0.02, 0.05, "right_to_wrong"),
        (10, 0, -1, 0.02, 0.05, "wrong_to_right"),
        (-3, 0, 0, 0.02, 0.05, "n: expected an integer"),
        (10, math.nan, 0, 0.02, 0.05, "right_to_wrong"),
        (10, 0, math.inf, 0.02, 0.05, "wrong_to_right"),
        (10, 1.5, 0, 0.02, 0.05, "right_to_wrong"),
        (10, 0, 0, 0.0, 0.05, "margin"),
        (10, 0, 0, 1.0, 0.05, "margin"),
        (10, 0, 0, math.nan, 0.05, "margin"),
        (10, 0, 0, 2, 0.05, "margin"),
        (10, 0, 0, 0.02, 0.0, "alpha"),
        (10, 0, 0, 0.02, 0.5, "alpha"),
        (10, 0, 0, 0.02, math.nan, "alpha"),
    ],
)
def test_bad_input_is_refused(n: int, b: int, c: int, margin: float, alpha: float, says: str) -> None:
    """Counts that do not fit and limits out of range raise ValueError naming the argument."""
    with pytest.raises(ValueError, match=says):
        paired_drop(n, b, c, margin=margin, alpha=alpha)


@pytest.mark.parametrize("discordance", [0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize(("n", "margin"), [(50, 0.02), (200, 0.01), (200, 0.05), (1000, 0.01), (1000, 0.02)])
def test_exact_false_pass_rate_at_the_limit(n: int, margin: float, discordance: float) -> None:
    """A model lying exactly on the limit passes with probability alpha at most, give or take half a point."""
    discordance = max(discordance, margin)
    assert pass_probability(n, margin=margin, discordance=discordance, true_drop=margin) <= 0.055


def test_simulated_false_verdicts_at_the_limit() -> None:
    """Seeded draws of a model on the limit: about alpha pass, about alpha fail."""
    n, margin, discordance = 500, 0.02, 0.08
    shares = ((discordance + margin) / 2, (discordance - margin) / 2, 1 - discordance)
    draws = np.random.default_rng(7).multinomial(n, shares, size=6000)
    judged: dict[tuple[int, int], PairedDrop] = {}
    counts = dict.fromkeys(Decision, 0)
    for b, c, _ in draws.tolist():
        if (b, c) not in judged:
            judged[b, c] = paired_drop(n, b, c, margin=margin)
        counts[judged[b, c].verdict] += 1
    assert counts[Decision.PASS] / 6000 == pytest.approx(0.05, abs=0.01)
    assert counts[Decision.FAIL] / 6000 == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize(("b", "c", "exact", "midp"), [(5, 14, 0.06357, 0.04139), (0, 0, 1.0, 1.0)])
def test_mcnemar_midp_published(b: int, c: int, exact: float, midp: float) -> None:
    """The published figures; with no flips nothing is significant (p = 1, not 0)."""
    assert mcnemar_midp(b, c) == pytest.approx(midp, abs=5e-6)
    if b + c:
        assert binomtest(b, b + c).pvalue == pytest.approx(exact, abs=5e-6)


def test_mcnemar_midp_is_the_exact_test_less_half_the_point() -> None:
    """Against scipy's binomial test, over every small table; symmetric in its arguments, never above 1."""
    for b, c in itertools.product(range(9), repeat=2):
        assert 0 < mcnemar_midp(b, c) == mcnemar_midp(c, b) <= 1
        if b != c:
            point = math.comb(b + c, b) / 2 ** (b + c)
            assert mcnemar_midp(b, c) == pytest.approx(binomtest(b, b + c).pvalue - point, abs=1e-12)


def test_mcnemar_refuses_what_is_no_count() -> None:
    """Negative counts raise ValueError."""
    with pytest.raises(ValueError, match="right_to_wrong"):
        mcnemar_midp(-1, 3)


def test_importing_the_judgement_is_light() -> None:
    """No heavy library is loaded before a function needs it: commands start at once."""
    code = "import sys, harness.stats; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"scipy.stats", "scipy.special", "pandas", "statsmodels", "matplotlib", "torch"}
    assert not heavy & set(done.stdout.split())
