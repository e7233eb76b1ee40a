"""`min_ratio` and `max_ratio`: times the baseline's."""

from __future__ import annotations

import numpy as np

from harness.forms import FORMS
from harness.forms.base import Terms
from harness.samples.sample import MemoryPair
from harness.stats import speed_ratio
from tests.forms.handmade import speed

RATIOS = np.linspace(1.25, 1.35, 12)


def test_speed() -> None:
    """The Hodges-Lehmann ratio with its exact bounds, and p from the limit's own side."""
    found = FORMS["min_ratio"].judge(speed(RATIOS), Terms(limit=1.2, alpha=0.05))
    expected = speed_ratio(RATIOS)
    assert found.estimate is not None
    assert (found.estimate.lower, found.estimate.upper) == (expected.lower, expected.upper)
    assert found.estimate.p == expected.p_fail_min(1.2)
    assert found.decision == "PASS"
    slow = FORMS["max_ratio"].judge(speed(RATIOS), Terms(limit=1.2, alpha=0.05, against="v3"))
    assert slow.decision == "FAIL"
    assert slow.estimate is not None
    assert slow.estimate.p == expected.p_fail_max(1.2)
    assert str(slow.reason).startswith("decode_tokens_per_s is 1.300 × v3's (")
    assert str(slow.reason).endswith("12 pairs), limit at most 1.200 ×: the limit is broken")


def test_memory() -> None:
    """Bytes over bytes, without an interval."""
    memory = MemoryPair(metric="weight_bytes", baseline=4_000_000, candidate=1_500_000)
    found = FORMS["max_ratio"].judge(memory, Terms(limit=0.5, alpha=0.05))
    assert (found.decision, str(found.reason)) == (
        "PASS", "weight_bytes is 1.5 MB, 0.375 × the baseline's 4 MB; limit at most 0.500 ×"
    )  # fmt: skip
    assert found.estimate is not None
    assert (found.estimate.lower, found.estimate.p) == (None, None)
