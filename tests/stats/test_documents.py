"""Perplexity ratios and document means: the document is the unit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student

from harness.stats import Decision, document_mean, perplexity_ratio


def corpus(documents: int, shift: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Extra NLL per document, about `shift` nats per token, and token counts."""
    draw = np.random.default_rng(seed)
    tokens = draw.integers(50, 800, size=documents).astype(float)
    return tokens * draw.normal(shift, 0.01, size=documents), tokens


def test_the_ratio_is_that_of_the_two_perplexities() -> None:
    """exp of the summed difference over the summed tokens: candidate perplexity over the baseline's."""
    baseline, candidate, tokens = np.array([300.0, 90.0]), np.array([306.0, 93.0]), np.array([100.0, 40.0])
    both = [math.exp(nll.sum() / tokens.sum()) for nll in (candidate, baseline)]
    assert perplexity_ratio(candidate - baseline, tokens).ratio == pytest.approx(both[0] / both[1])


def test_the_published_formula() -> None:
    """SE = sqrt(G/(G-1) sum (delta - r T)^2) / sum T, and bounds exp(r -+ t SE), written out by hand."""
    delta, tokens = [2.0, 1.0, 6.0], [100.0, 100.0, 200.0]
    found = perplexity_ratio(delta, tokens)
    rate = 9 / 400
    squares = (2 - 100 * rate) ** 2 + (1 - 100 * rate) ** 2 + (6 - 200 * rate) ** 2
    se = math.sqrt(1.5 * squares) / 400
    t = student.ppf(0.95, 2)
    assert found.se == pytest.approx(se)
    bounds = (math.exp(rate - t * se), math.exp(rate + t * se))
    assert (found.lower, found.upper) == pytest.approx(bounds)
    assert (found.documents, found.tokens) == (3, 400)


def test_the_standard_error_is_statsmodels_over_tokens() -> None:
    """The same as a token-level regression on a constant with errors clustered by document."""
    draw = np.random.default_rng(1)
    labels = np.repeat(np.arange(30), draw.integers(5, 60, size=30))
    per_token = draw.normal(0.01, 0.3, size=labels.size) + draw.normal(0, 0.1, size=30)[labels]
    fit = sm.OLS(per_token, np.ones(labels.size)).fit(cov_type="cluster", cov_kwds={"groups": labels})
    found = perplexity_ratio(np.bincount(labels, weights=per_token), np.bincount(labels))
    assert math.log(found.ratio) == pytest.approx(float(fit.params[0]))
    assert found.se == pytest.approx(float(fit.bse[0]))
    naive = per_token.std(ddof=1) / math.sqrt(labels.size)
    assert found.se > 1.2 * naive


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.0, Decision.PASS), (math.log(1.02), Decision.INCONCLUSIVE), (0.05, Decision.FAIL)],
)
def test_the_three_verdicts(shift: float, verdict: Decision) -> None:
    """Against a limit of 2 %, as a relative increase."""
    assert perplexity_ratio(*corpus(60, shift)).decide(0.02) == verdict


def test_a_pass_needs_the_upper_bound_below_the_limit() -> None:
    """The verdict turns where the bound crosses 1 + m, not where the estimate does."""
    found = perplexity_ratio(*corpus(60, 0.015))
    assert found.ratio < found.upper
    assert found.decide(found.upper - 1 + 1e-9) == Decision.PASS
    assert found.decide(found.upper - 1 - 1e-9) == Decision.INCONCLUSIVE
    assert found.decide(found.lower - 1 - 1e-9) == Decision.FAIL


def test_under_twenty_documents_nothing_is_decided() -> None:
    """19 documents are unreliable and INCONCLUSIVE whatever they show; 20 decide."""
    for documents, verdict in ((19, Decision.INCONCLUSIVE), (20, Decision.FAIL)):
        found = perplexity_ratio(*corpus(documents, 0.5))
        assert found.reliable == (documents == 20)
        assert found.decide(0.02) == verdict


def test_one_document_has_no_interval() -> None:
    """Defined, with bounds 0 and infinity."""
    found = perplexity_ratio([3.0], [100.0])
    assert (found.lower, found.upper, found.reliable) == (0.0, math.inf, False)
    assert found.ratio == pytest.approx(math.exp(0.03))


def test_a_model_against_itself_is_exactly_one() -> None:
    """No difference on any document is the same computation: ratio 1 without width, PASS from 20 documents on."""
    found = perplexity_ratio(np.zeros(20), np.full(20, 300.0))
    assert (found.ratio, found.se, found.lower, found.upper) == (1.0, 0.0, 1.0, 1.0)
    assert found.decide(0.02) == Decision.PASS
    assert perplexity_ratio(np.zeros(19), np.full(19, 300.0)).decide(0.02) == Decision.INCONCLUSIVE


def test_a_model_in_ruins_has_an_infinite_ratio_not_an_overflow() -> None:
    """A thousand nats per token: the ratio is infinite and fails."""
    _, tokens = corpus(30, 0.0)
    found = perplexity_ratio(1000 * tokens, tokens)
    assert found.ratio == math.inf
    assert found.decide(0.02) == Decision.FAIL


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    documents=st.lists(st.tuples(st.floats(-50, 50), st.integers(1, 500)), min_size=2, max_size=40),
    seed=st.integers(0, 1000),
)
def test_order_and_direction(documents: list[tuple[float, int]], seed: int) -> None:
    """The order of the documents does not matter; swapping the variants inverts ratio and bounds."""
    delta, tokens = np.array([nll for nll, _ in documents]), np.array([count for _, count in documents])
    found = document_mean(delta, tokens)
    order = np.random.default_rng(seed).permutation(len(documents))
    shuffled, swapped = document_mean(delta[order], tokens[order]), document_mean(-delta, tokens)
    assert (shuffled.lower, shuffled.upper) == pytest.approx((found.lower, found.upper), abs=1e-6)
    assert (swapped.lower, swapped.upper) == pytest.approx((-found.upper, -found.lower), abs=1e-6)
    assert found.lower <= found.mean <= found.upper


def test_a_mean_per_token_is_weighted_by_tokens() -> None:
    """KL and the like: the sum over the sum, not the mean of the documents' means."""
    assert document_mean([1.0, 30.0], [100, 300]).mean == pytest.approx(31 / 400)


@pytest.mark.parametrize(("off", "verdict"), [(0.01, "PASS"), (0.0001, "INCONCLUSIVE"), (-0.01, "FAIL")])
def test_a_mean_against_a_ceiling(off: float, verdict: str) -> None:
    """PASS when the upper bound lies under the ceiling, FAIL when the lower lies over it."""
    found = document_mean(*corpus(40, 0.02))
    assert found.decide(found.mean + off) == verdict
    assert document_mean(*corpus(19, 0.02)).decide(0.02 + off) == Decision.INCONCLUSIVE


def test_a_share_seen_nowhere_keeps_room_when_its_range_is_given() -> None:
    """No disagreement in 40 documents: with scale 1 up to t^2 / (40 + t^2) remain; without it SE is 0."""
    t = student.ppf(0.95, 39)
    assert document_mean(np.zeros(40), np.full(40, 100), scale=1.0).upper == pytest.approx(t * t / (40 + t * t))
    assert document_mean(np.zeros(40), np.full(40, 100)).upper == 0.0


def test_simulated_false_pass_rate_at_the_limit() -> None:
    """Documents that lean together with a true increase on the limit: about alpha pass."""
    draw, passed = np.random.default_rng(9), 0
    for _ in range(2000):
        tokens = draw.integers(50, 400, size=30)
        passed += document_mean(tokens * draw.normal(0.02, 0.05, size=30), tokens).decide(0.02) == Decision.PASS
    assert passed / 2000 == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize(
    ("sums", "counts", "says"),
    [
        ([], [], "at least one document"),
        ([1.0], [1.0, 2.0], "one length"),
        ([math.nan], [1.0], "finite sums"),
        ([math.inf], [1.0], "finite sums"),
        ([1.0], [0.0], "positive one"),
        ([1.0], [-2.0], "no negative count"),
    ],
)
def test_bad_input_is_refused(sums: list[float], counts: list[float], says: str) -> None:
    """Lengths that do not fit, no documents, values that are not finite: ValueError."""
    with pytest.raises(ValueError, match=says):
        perplexity_ratio(sums, counts)


def test_bad_options_are_refused() -> None:
    """alpha and scale out of range raise ValueError."""
    with pytest.raises(ValueError, match="alpha"):
        document_mean([1.0], [1.0], alpha=0.0)
    with pytest.raises(ValueError, match="scale"):
        document_mean([1.0], [1.0], scale=-1.0)


def test_a_document_that_is_predicted_with_certainty() -> None:
    """Its negative log-likelihood is 0, which is a fine denominator beside others'."""
    found = document_mean([0.0, *[2.0] * 24], [0.0, *[1.0] * 24])
    assert found.mean == 2
    assert found.lower == found.upper == 2
