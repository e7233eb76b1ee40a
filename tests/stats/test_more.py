"""How many more would decide: the answer given with every INCONCLUSIVE."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from harness.stats import (
    Decision,
    clustered_drop,
    document_mean,
    graded_drop,
    items_to_decide,
    more_documents,
    more_items,
    paired_drop,
)


@pytest.mark.parametrize("n", [1, 20, 100, 132])
def test_without_flips_the_total_is_the_published_one(n: int) -> None:
    """With no flips at 2 points, 133 items decide whatever was seen so far."""
    assert items_to_decide(n, 0, 0, margin=0.02) == 133 - n


@settings(derandomize=True, deadline=None, max_examples=150)
@given(n=st.integers(20, 2000), b=st.integers(0, 10), c=st.integers(0, 10), margin=st.floats(0.005, 0.2))
def test_that_many_at_the_same_rates_decide(n: int, b: int, c: int, margin: float) -> None:
    """The sample grown in proportion is decided; decided samples need 0 more."""
    more = items_to_decide(n, b, c, margin=margin)
    verdict = paired_drop(n, b, c, margin=margin).verdict
    assert (more == 0) == (verdict != Decision.INCONCLUSIVE)
    if more:
        factor = 1000
        grown = (n + more) / n * factor
        thousand = paired_drop(round(n * grown), round(b * grown), round(c * grown), margin=margin)
        assert abs(thousand.z) / math.sqrt(factor) >= 1.6448 * 0.98


@pytest.mark.parametrize(("n", "b", "c", "margin"), [(1000, 20, 0, 0.02), (50, 1, 0, 0.02), (100, 7, 2, 0.05)])
def test_a_drop_on_the_limit_is_never_decided(n: int, b: int, c: int, margin: float) -> None:
    """Where the observed drop is the limit no number of items decides."""
    assert items_to_decide(n, b, c, margin=margin) is None


def test_out_of_reach_is_none() -> None:
    """More than ten million items is no advice."""
    assert items_to_decide(10_000, 2001, 1801, margin=0.0200001) is None


def test_over_clusters_the_design_effect_counts() -> None:
    """The same flips lean together: more items are needed than of independent ones."""
    differences, labels = np.repeat([1, -1, 0], [50, 40, 910]), np.repeat(np.arange(100), 10)
    clustered = clustered_drop(differences, labels, margin=0.02)
    assert clustered.verdict == Decision.INCONCLUSIVE
    more, independent = more_items(clustered), items_to_decide(1000, 50, 40, margin=0.02)
    assert more is not None
    assert independent is not None
    assert more > 5 * independent
    repeats = math.ceil((1000 + more) / 1000)
    grown = clustered_drop(np.tile(differences, repeats), np.arange(1000 * repeats) // 10, margin=0.02)
    assert grown.verdict != Decision.INCONCLUSIVE


def test_an_undecided_clustered_drop_that_independent_items_would_decide() -> None:
    """Clusters undecided where the plain count would pass: the advice is a positive number, not 0."""
    found = clustered_drop(np.zeros(500), np.repeat(np.arange(50), 10), margin=0.02)
    assert items_to_decide(500, 0, 0, margin=0.02) == 0
    more = more_items(found)
    assert more is not None
    assert more > 500


def test_one_cluster_gives_no_advice() -> None:
    """A spread that was never seen cannot be extrapolated."""
    assert more_items(clustered_drop([0, 1, 0], [1, 1, 1], margin=0.02)) is None
    assert more_items(graded_drop([0.1], margin=0.02)) is None


def test_paired_and_plain_counts_agree() -> None:
    """`more_items` of an unclustered drop is `items_to_decide` of its counts."""
    assert more_items(paired_drop(200, 5, 3, margin=0.02)) == items_to_decide(200, 5, 3, margin=0.02)
    assert more_items(paired_drop(1000, 20, 20, margin=0.02)) == 0


def test_what_is_decided_needs_no_more() -> None:
    """0 for every kind of decided drop, ties included."""
    assert more_items(graded_drop(np.zeros(200), margin=0.02)) == 0
    assert more_items(clustered_drop(np.zeros(150), np.arange(150), margin=0.02)) == 0
    assert more_items(paired_drop(1000, 68, 18, margin=0.02)) == 0


def test_few_clusters_are_advised_by_their_width() -> None:
    """With 8 clusters one unseen decides, so far more items are asked for than z would ask for, and they decide."""
    differences = np.tile([1, -1, 0, 0, 0], 8)
    found = clustered_drop(differences, np.repeat(np.arange(8), 5), margin=0.1)
    more = more_items(found)
    assert more is not None
    assert 40 + more > 2 * 40 * (student.ppf(0.95, 7) / found.z) ** 2
    repeats = math.ceil((40 + more) / 40)
    grown = clustered_drop(np.tile(differences, repeats), np.repeat(np.arange(8 * repeats), 5), margin=0.1)
    assert grown.verdict == Decision.PASS


def test_graded_drops_grow_until_decided() -> None:
    """Repeating the sample to the number advised decides it; on the limit there is none."""
    sample = np.random.default_rng(0).normal(0.0, 0.2, size=80)
    sample += 0.01 - sample.mean()
    found = graded_drop(sample, margin=0.02)
    more = more_items(found)
    assert found.verdict == Decision.INCONCLUSIVE
    assert more is not None
    assert graded_drop(np.tile(sample, math.ceil(more / 80) + 1), margin=0.02).verdict == Decision.PASS
    assert more_items(graded_drop(sample + 0.01, margin=0.02)) is None
    assert more_items(graded_drop(sample - 1, margin=0.02)) == 0


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_graded_ties_need_the_units_that_shrink_their_room(scale: float) -> None:
    """Ties pass with exactly the number advised, and not with one fewer."""
    more = more_items(graded_drop(np.zeros(30), margin=0.02, scale=scale))
    assert more is not None
    assert graded_drop(np.zeros(30 + more), margin=0.02, scale=scale).verdict == Decision.PASS
    assert graded_drop(np.zeros(29 + more), margin=0.02, scale=scale).verdict == Decision.INCONCLUSIVE


def test_documents_grow_with_the_square_of_the_width() -> None:
    """Half the distance takes four times the documents; repeating the corpus that often decides."""
    assert more_documents(100, value=0.0, upper=0.02, limit=0.01) == 300
    draw = np.random.default_rng(1)
    tokens = draw.integers(100, 400, size=25)
    sums = tokens * draw.normal(0.015, 0.05, size=25)
    found = document_mean(sums, tokens)
    limit = found.mean + 0.01
    assert found.decide(limit) == Decision.INCONCLUSIVE
    more = more_documents(25, value=found.mean, upper=found.upper, limit=limit)
    assert more is not None
    repeats = math.ceil(more / 25) + 1
    assert document_mean(np.tile(sums, repeats), np.tile(tokens, repeats)).decide(limit) == Decision.PASS


@pytest.mark.parametrize(
    ("value", "upper", "limit"), [(0.02, 0.03, 0.02), (0.0, math.inf, 0.02), (0.0199999, 0.5, 0.02)]
)
def test_no_advice_where_none_can_be_given(value: float, upper: float, limit: float) -> None:
    """On the limit, without an interval, or out of reach: None."""
    assert more_documents(30, value=value, upper=upper, limit=limit) is None


def test_bad_counts_are_refused() -> None:
    """Counts that do not fit raise ValueError, as in `paired_drop`."""
    with pytest.raises(ValueError, match="do not fit"):
        items_to_decide(10, 8, 8, margin=0.02)
