"""`min` and `max` on every kind of sample: the candidate's own value."""

from __future__ import annotations

import numpy as np
import pytest

from harness.forms import FORMS
from harness.forms.base import Terms
from harness.samples.sample import MemoryPair
from harness.stats import mean_level
from tests.forms.handmade import documents, judged, paired, speed

RIGHT = np.repeat([1.0, 0.0], [90, 10])


@pytest.mark.parametrize(("limit", "decision"), [(0.8, "PASS"), (0.9, "INCONCLUSIVE"), (0.97, "FAIL")])
def test_items(limit: float, decision: str) -> None:
    """The candidate's share of right answers with Wilson's bounds, whatever the baseline did."""
    found, expected = judged({"min": limit}, paired(1 - RIGHT, RIGHT)), mean_level(RIGHT, shares=True)
    assert found.estimate is not None
    assert (found.estimate.value, found.estimate.lower, found.estimate.upper) == (0.9, expected.lower, expected.upper)
    assert found.decision == decision
    assert str(found.reason).startswith("acc is 90.0 % (")


def test_documents() -> None:
    """Perplexity in plain numbers, a divergence in its unit."""
    pairs = documents(np.full(30, 200.0), np.full(30, 250.0), divergence=0.01)
    assert str(judged({"metric": "perplexity", "max": 20.0}, pairs).reason).startswith("perplexity is 12.18 (")
    kl = judged({"metric": "kl_mean", "max": 0.02}, pairs)
    assert (kl.decision, str(kl.reason)) == (
        "PASS", "kl_mean is 0.01 nats (0.01 nats to 0.01 nats), limit at most 0.02 nats"
    )  # fmt: skip
    assert judged({"metric": "top1_agreement", "min": 0.9}, pairs).decision == "FAIL"


def test_speed_and_memory() -> None:
    """Few timed pairs decide nothing; bytes are exact."""
    few = FORMS["min"].judge(speed([30.0] * 3), Terms(limit=20.0, alpha=0.05))
    assert few.decision == "INCONCLUSIVE"
    assert str(few.reason).endswith("3 timed pairs are too few (10 at least)")
    memory = MemoryPair(metric="weight_bytes", baseline=None, candidate=2_000_000)
    found = FORMS["max"].judge(memory, Terms(limit=1e6, alpha=0.05))
    assert (found.decision, str(found.reason)) == (
        "FAIL", "weight_bytes is 2 MB, limit at most 1 MB: the limit is broken"
    )  # fmt: skip
