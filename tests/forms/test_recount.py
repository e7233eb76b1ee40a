"""What a form would say of other flips is what it says of a sample that has them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.forms import FORMS
from harness.forms.base import Recount, Terms
from harness.samples.pairs import PairedMetric
from tests.forms.handmade import paired

N, WON = 200, 6
LIMITS = {"max_drop": 0.03, "max_relative_drop": 0.05, "min_recovery": 0.95}


def flipped(lost: int, clusters: NDArray[np.int64] | None = None) -> PairedMetric:
    """Of 200 items the first `lost` were lost, the last six won."""
    before = np.r_[np.ones(N - 40), np.zeros(40)]
    after = before.copy()
    after[:lost], after[N - WON :] = 0, 1
    return paired(before, after, clusters)


def recounted(key: str, sample: PairedMetric) -> Recount | None:
    recount = FORMS[key].recount
    assert recount is not None
    return recount(sample, Terms(limit=LIMITS[key], alpha=0.05))


@pytest.mark.parametrize("key", LIMITS)
def test_as_a_sample_with_these_flips(key: str) -> None:
    """From no harmful flip to forty; the counts seen are the sample's own."""
    found = recounted(key, flipped(9))
    assert found is not None
    assert (found.seen, found.most, found.n) == (9, N - WON, N)
    for lost in range(0, 41, 4):
        judged = FORMS[key].judge(flipped(lost), Terms(limit=LIMITS[key], alpha=0.05))
        assert found.decide(lost) == judged.decision, lost
    assert {found.decide(lost) for lost in (0, 9, 40)} == {"PASS", "INCONCLUSIVE", "FAIL"}


@pytest.mark.parametrize("key", LIMITS)
def test_where_flips_alone_say_nothing(key: str) -> None:
    """Graded values and shares have no flips to count; one cluster, or a share over clusters, depends on where they
    are."""
    graded = paired(np.linspace(0, 1, 50), np.linspace(0, 0.9, 50))
    assert recounted(key, graded) is None
    assert recounted(key, flipped(9, np.zeros(N, dtype=np.int64))) is None


def test_levels_have_no_flips() -> None:
    """A value by itself, a rise or a ratio does not go by right and wrong."""
    assert [key for key, form in FORMS.items() if form.recount is None] == [
        "max_excess_drop", "max_increase", "min", "max", "min_ratio", "max_ratio",
    ]  # fmt: skip
