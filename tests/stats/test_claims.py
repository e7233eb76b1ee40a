"""The p-values of claims: under alpha exactly when the gate says FAIL, and those of the reference tests."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_1samp
from statsmodels.regression.linear_model import OLS

from harness.stats import (
    Decision,
    DocumentMean,
    PairedDrop,
    clustered_drop,
    document_mean,
    graded_drop,
    graded_recovery,
    paired_drop,
    paired_recovery,
    perplexity_ratio,
)

ALPHAS = (0.001, 0.01, 0.05, 0.2, 0.4)


def _agree(judge: Callable[[float], tuple[bool, float]]) -> None:
    """`judge` gives, at an alpha, whether it is a FAIL and the p-value, which is one number at every alpha."""
    found = [judge(alpha) for alpha in ALPHAS]
    for alpha, (failed, p) in zip(ALPHAS, found, strict=True):
        assert failed == (p < alpha), (alpha, failed, p)
        assert p == pytest.approx(found[0][1], rel=1e-12, abs=1e-300)
        assert 0 <= p <= 1


def _paired(drop: PairedDrop) -> tuple[bool, float]:
    return drop.verdict == Decision.FAIL, drop.p_fail


@pytest.mark.parametrize(
    ("n", "b", "c"),
    [(1, 0, 0), (1, 1, 0), (3, 3, 0), (50, 5, 1), (200, 0, 0), (1000, 68, 18), (1000, 30, 5), (9, 0, 9)],
)
def test_a_flip_count_fails_when_its_p_is_under_alpha(n: int, b: int, c: int) -> None:
    """Tango's statistic at the margin and its normal tail are one decision."""
    _agree(lambda alpha: _paired(paired_drop(n, b, c, margin=0.02, alpha=alpha)))
    found = paired_drop(n, b, c, margin=0.02)
    assert found.p_fail == pytest.approx(norm.sf(found.z), rel=1e-9)
    assert found.p_change == found.mcnemar_midp


@pytest.mark.parametrize("seed", range(6))
def test_clustered_flips_use_t(seed: int) -> None:
    """The same over clusters, few and many, also without a flip, all flipped, and in one cluster."""
    rng = np.random.default_rng(seed)
    for groups in (1, 2, 5, 60):
        labels = rng.integers(groups, size=120)
        for drops in (np.zeros(120), np.ones(120), rng.choice([-1.0, 0.0, 1.0], p=[0.02, 0.8, 0.18], size=120)):
            _agree(lambda alpha, d=drops, g=labels: _paired(clustered_drop(d, g, margin=0.02, alpha=alpha)))  # type: ignore[misc]
            found = clustered_drop(drops, labels, margin=0.02)
            assert 0 <= found.p_change <= 1
            if groups == 1 or not drops.any():
                assert found.p_change == 1


@pytest.mark.parametrize("seed", range(6))
def test_graded_claims_are_scipys_one_sample_t(seed: int) -> None:
    """One-sided at the margin, two-sided at 0; over clusters statsmodels' robust t agrees."""
    rng = np.random.default_rng(seed)
    sample = rng.normal(0.04, 0.1, size=300)
    found = graded_drop(sample, margin=0.02)
    assert found.p_fail == pytest.approx(ttest_1samp(sample, 0.02, alternative="greater").pvalue, rel=1e-9)
    assert found.p_change == pytest.approx(ttest_1samp(sample, 0).pvalue, rel=1e-9)
    _agree(lambda alpha: ((d := graded_drop(sample, margin=0.02, alpha=alpha)).verdict == Decision.FAIL, d.p_fail))
    labels = np.repeat(np.arange(60), 5)
    fit = OLS(sample, np.ones(300)).fit(cov_type="cluster", cov_kwds={"groups": labels}, use_t=True)
    # statsmodels adds (n-1)/(n-k), which is 1 for a lone mean
    assert graded_drop(sample, margin=0.02, clusters=labels).p_change == pytest.approx(fit.pvalues[0], rel=1e-9)


@pytest.mark.parametrize("value", [-1.0, -0.3, 0.0, 0.02, 0.021, 0.3, 1.0])
@pytest.mark.parametrize("clusters", [None, np.repeat([0, 1, 2], 10), np.zeros(30)])
def test_ties_have_a_p_that_fits_their_bounds(value: float, clusters: np.ndarray | None) -> None:
    """All differences equal: no certainty, and the p is that of the interval which ties get."""

    def judge(alpha: float) -> tuple[bool, float]:
        found = graded_drop(np.full(30, value), margin=0.02, alpha=alpha, clusters=clusters)
        return found.verdict == Decision.FAIL, found.p_fail

    _agree(judge)


def test_perplexity_claims() -> None:
    """The tail of t over documents; under 20 documents and for one alone nothing can be claimed."""
    rng = np.random.default_rng(2)
    tokens = rng.integers(50, 200, size=30).astype(float)
    delta = tokens * rng.normal(0.03, 0.02, size=30)

    def judge(alpha: float) -> tuple[bool, float]:
        ratio = perplexity_ratio(delta, tokens, alpha=alpha)
        return ratio.decide(0.02) == Decision.FAIL, ratio.p_fail(0.02)

    _agree(judge)
    assert perplexity_ratio(delta, tokens).p_change < 1e-6
    assert perplexity_ratio(delta[:19], tokens[:19]).p_fail(0.02) == 1
    assert perplexity_ratio(delta[:1], tokens[:1]).p_change == 1
    same = perplexity_ratio(np.zeros(30), tokens)
    assert (same.p_fail(0.02), same.p_change) == (1, 1)
    worse = perplexity_ratio(tokens * 0.5, tokens)
    assert (worse.p_fail(0.02), worse.decide(0.02)) == (0, Decision.FAIL)
    for nothing_left in (perplexity_ratio(-900 * tokens, tokens), perplexity_ratio(900 * tokens, tokens)):
        assert nothing_left.p_fail(0.02) in (0, 1)


@pytest.mark.parametrize("scale", [None, 1.0])
@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_document_means(scale: float | None, spread: float) -> None:
    """A ceiling on a divergence: the same rule, with and without a range, varied and all alike."""
    rng = np.random.default_rng(4)
    counts = np.full(40, 100.0)
    sums = counts * (0.4 + rng.normal(0, spread, size=40))

    def mean(alpha: float) -> DocumentMean:
        return document_mean(sums, counts, alpha=alpha, scale=scale)

    for limit in (0.2, 0.39, 0.4, 0.6):
        _agree(lambda alpha, at=limit: (mean(alpha).decide(at) == Decision.FAIL, mean(alpha).p_fail(at)))  # type: ignore[misc]
    assert mean(0.05).p_change(mean(0.05).mean) == 1


@pytest.mark.parametrize(
    ("n", "both", "b", "c"), [(100, 60, 20, 5), (1000, 700, 60, 20), (20, 0, 1, 0), (20, 20, 0, 0), (5, 1, 4, 0)]
)
def test_recovery_of_right_answers(n: int, both: int, b: int, c: int) -> None:
    """Nam and Blackwelder's statistic at the limit and the bound that solves it say the same."""

    def judge(alpha: float) -> tuple[bool, float]:
        found = paired_recovery(n, both, b, c, alpha=alpha)
        return found.upper < 0.9, found.p_fail(0.9)

    _agree(judge)


@pytest.mark.parametrize("seed", range(5))
def test_recovery_of_scores(seed: int) -> None:
    """Fieller's set and its p, with a baseline far from 0, near 0, and lost altogether."""
    rng = np.random.default_rng(seed)
    for level, noise, kept in ((0.6, 0.1, 0.85), (0.05, 0.4, 0.2), (0.6, 0.1, 0.0), (0.5, 0.0, 0.7), (0.5, 0.3, 1.0)):
        left = np.clip(level + rng.normal(0, noise, size=60), -1, 1) if noise else np.full(60, level)
        left = left if left.mean() > 0 else -left
        right = left * kept + (rng.normal(0, 0.05, size=60) if 0 < kept < 1 else 0.0)
        for clusters in (None, np.repeat(np.arange(12), 5), np.zeros(60)):

            def judge(alpha: float) -> tuple[bool, float]:
                found = graded_recovery(left, right, alpha=alpha, clusters=clusters)  # noqa: B023
                return found.upper < 0.9, found.p_fail(0.9)

            _agree(judge)


def test_the_exact_test_is_near() -> None:
    """With no gains and a small margin the claim's p is near the exact binomial chance of so many losses."""
    exact = binomtest(30, 1000, 0.02, alternative="greater").pvalue
    assert paired_drop(1000, 30, 0, margin=0.02).p_fail == pytest.approx(exact, abs=0.01)
    assert math.isclose(paired_drop(1000, 20, 0, margin=0.02).p_fail, 0.5)
