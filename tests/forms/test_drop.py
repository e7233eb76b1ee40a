"""`max_drop` on exact small cases: the statistic's own numbers, and the sentence around them."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats import graded_drop, paired_drop
from tests.forms.handmade import judged, paired

BEFORE = np.repeat([1.0, 0.0], [180, 20])
AFTER = np.repeat([0.0, 1.0, 0.0], [10, 171, 19])
"""Ten answers lost and one won of 200."""


@pytest.mark.parametrize(("limit", "decision"), [(0.09, "PASS"), (0.045, "INCONCLUSIVE"), (0.01, "FAIL")])
def test_right_or_wrong(limit: float, decision: str) -> None:
    """Tango's bounds as `paired_drop` gives them decide, and p with them."""
    expected = paired_drop(200, 10, 1, margin=limit)
    found = judged({"max_drop": limit}, paired(BEFORE, AFTER))
    assert found.estimate is not None
    bounds = (found.estimate.value, found.estimate.lower, found.estimate.upper, found.estimate.p)
    assert bounds == (expected.drop, expected.lower, expected.upper, expected.p_fail)
    assert found.decision == expected.verdict == decision


def test_the_reason() -> None:
    """The drop, its bounds, the limit, and how many items would decide."""
    found = judged({"max_drop": 0.045}, paired(BEFORE, AFTER))
    assert str(found.reason) == (
        "drop 4.50 pp, one-sided 95 % bounds 2.07 pp to 7.76 pp; limit 4.50 pp: the interval reaches across the limit; "
        "the estimate is on the limit, so no number of items would decide"
    )
    assert found.more_items is None
    won = judged({"max_drop": 0.02}, paired(AFTER, BEFORE))
    assert str(won.reason).startswith("gain 4.50 pp")


def test_scores() -> None:
    """A graded metric is judged by its mean difference, in its own unit; failed answers are told."""
    before, after = np.linspace(0.4, 0.9, 80), np.linspace(0.4, 0.9, 80) - np.tile([0.02, 0.0], 40)
    found = judged({"max_drop": 0.05, "metric": "f1"}, paired(before, after, failed=2))
    expected = graded_drop(before - after, margin=0.05)
    assert found.estimate is not None
    assert (found.estimate.lower, found.estimate.upper) == (expected.lower, expected.upper)
    assert found.decision == "PASS"
    assert str(found.reason).startswith("drop 0.01, one-sided 95 % bounds")
    assert str(found.reason).endswith("limit 0.05; 2 of its answers failed and count as wrong")
