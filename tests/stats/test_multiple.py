"""Several claims at once."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from harness.stats import benjamini_hochberg, holm


def test_holm_published() -> None:
    """[.001, .01, .02, .04, .3] becomes .005, .04, .06, .08, .3, in the order given."""
    assert holm([0.001, 0.01, 0.02, 0.04, 0.3]) == pytest.approx([0.005, 0.04, 0.06, 0.08, 0.3])
    assert holm([0.3, 0.02, 0.001, 0.04, 0.01]) == pytest.approx([0.3, 0.06, 0.005, 0.08, 0.04])


@settings(derandomize=True, deadline=None, max_examples=25)
@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_both_equal_statsmodels(p_values: list[float]) -> None:
    """Holm and Benjamini-Hochberg against `multipletests`, ties and extremes included."""
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())
    assert benjamini_hochberg(p_values) == pytest.approx(multipletests(p_values, method="fdr_bh")[1].tolist())


def test_no_claims_are_no_error() -> None:
    """An empty list stays empty."""
    assert holm([]) == benjamini_hochberg([]) == []


@pytest.mark.parametrize("p_values", [[0.1, 1.2], [-0.1], [math.nan, 0.2]])
def test_bad_p_values_are_refused(p_values: list[float]) -> None:
    """What is no probability raises ValueError instead of being sorted along."""
    for adjust in (holm, benjamini_hochberg):
        with pytest.raises(ValueError, match="from 0 to 1"):
            adjust(p_values)
