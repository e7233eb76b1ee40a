"""Shares of the baseline's score and of fine-tuning's gain."""

from __future__ import annotations

import numpy as np
import pytest

from harness.forms import FORMS
from harness.forms.base import Judgement, Terms
from harness.samples.base_pairs import ThreeWay
from tests.forms.handmade import judged, paired

BEFORE = np.repeat([1.0, 0.0], [180, 20])
AFTER = np.repeat([0.0, 1.0, 0.0], [6, 176, 18])


def test_a_relative_drop_is_what_is_not_kept() -> None:
    """`max_relative_drop: 3%` and `min_recovery: 0.97` are one rule, told from either end."""
    kept = judged({"min_recovery": 0.97}, paired(BEFORE, AFTER))
    lost = judged({"max_relative_drop": 1 - 0.97}, paired(BEFORE, AFTER))
    assert kept.estimate is not None
    assert lost.estimate is not None
    assert (lost.decision, str(lost.reason)) == (kept.decision, str(kept.reason))
    assert lost.estimate.value == pytest.approx(1 - kept.estimate.value)
    assert (kept.estimate.lower, kept.estimate.upper) != (None, None)
    assert lost.estimate.lower == pytest.approx(1 - (kept.estimate.upper or 0))
    assert kept.estimate.value == pytest.approx(176 / 180)
    assert str(kept.reason).startswith("keeps 97.8 % of the baseline's acc (")


def test_the_promoted_version_is_named_instead() -> None:
    """What a share is measured from is said in the reason, whoever that is."""
    found = FORMS["min_recovery"].judge(paired(BEFORE, AFTER), Terms(limit=0.9, alpha=0.05, against="v12"))
    assert str(found.reason).startswith("keeps 97.8 % of v12's acc (")
    assert found.decision == "PASS"


def test_no_share_of_nothing() -> None:
    """Of a metric that is better when lower, or of a score of 0, no share can be kept."""
    lower = FORMS["min_recovery"].judge(paired(BEFORE, AFTER, higher=False), Terms(limit=0.9, alpha=0.05))
    assert (lower.decision, str(lower.reason).split(",")[0]) == ("INVALID", "acc is better when lower")
    none = FORMS["min_recovery"].judge(paired(0 * BEFORE, AFTER), Terms(limit=0.9, alpha=0.05))
    assert (none.decision, str(none.reason)) == (
        "INVALID", "the baseline's acc is 0, so no share of it can be kept"
    )  # fmt: skip


def retained(base: int, fine_tuned: int, candidate: int, *, limit: float = 0.8) -> Judgement:
    """Of 400 items so many right, the same ones first."""
    low, middle, high = (np.repeat([1.0, 0.0], [right, 400 - right]) for right in (base, fine_tuned, candidate))
    sample = ThreeWay(
        task="t", metric="acc", kind="binary", higher_is_better=True, base=low, fine_tuned=middle, candidate=high,
        slices={},
    )  # fmt: skip
    return FORMS["min_retained"].judge(sample, Terms(limit=limit, alpha=0.05))


@pytest.mark.parametrize(
    ("counts", "decision", "starts"),
    [
        ((100, 300, 296), "PASS", "keeps 98.0 % ("),
        ((100, 300, 200), "FAIL", "keeps 50.0 % ("),
        ((100, 300, 262), "INCONCLUSIVE", "keeps 81.0 % ("),
        ((100, 101, 101), "INCONCLUSIVE", "no gain from fine-tuning is shown by these items: it gained 0.25 pp ("),
        ((300, 100, 100), "INVALID", "fine-tuning made this worse, so there is no gain to keep: it gained -50.00 pp ("),
    ],
)
def test_retained(counts: tuple[int, int, int], decision: str, starts: str) -> None:
    """The share of the gain that is kept, where there was one."""
    found = retained(*counts)
    assert found.decision == decision
    assert str(found.reason).startswith(starts)
    if found.estimate is not None:
        base, fine_tuned, candidate = counts
        assert found.estimate.value == pytest.approx((candidate - base) / (fine_tuned - base))
    assert (found.more_items is not None) == ("more items would decide" in str(found.reason))
