"""The tokens with the highest KL, and the few that carry much of its mean."""

from __future__ import annotations

import numpy as np
import pytest

from harness.records.evaluation_manifest import TokenText
from harness.samples.divergent_tokens import MOST, concentration, highest, most_divergent, with_texts


def test_the_highest_are_those_of_a_plain_sort() -> None:
    """Of equal ones the first; never one that does not diverge."""
    values = np.round(np.random.default_rng(0).exponential(0.1, 5000), 2)
    plain = sorted(range(values.size), key=lambda place: (-values[place], place))[:MOST]
    assert highest(values).tolist() == plain
    assert highest(np.array([0.0, 2.0, 0.0, 2.0, 1.0]), 4).tolist() == [1, 3, 4]
    assert highest(np.zeros(100)).size == 0


def test_a_token_has_its_document_and_place() -> None:
    """Documents of unlike length, one without a token; shares are of the whole sum."""
    values = np.array([0.1, 0.4, 0.2, 0.0, 0.3])
    found = most_divergent("t", values, (2, 0, 3), values - 1, "abc".__getitem__)
    assert found is not None
    assert [(each.item, each.place) for each in found.most] == [("a", 1), ("c", 2), ("c", 0), ("a", 0)]
    assert [each.share for each in found.most] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert found.most[0].delta_p == -0.6
    assert most_divergent("t", np.zeros(3), (3,), None, "a".__getitem__) is None


def test_texts_go_to_their_token() -> None:
    """By document and place; a token without one keeps none."""
    found = most_divergent("t", np.array([0.1, 0.4]), (2,), None, "a".__getitem__)
    assert found is not None
    told = with_texts(found, [TokenText(item="a", place=1, before="x", text="y", top="z")]).most
    assert [(each.text, each.before, each.top) for each in told] == [("y", "x", "z"), (None, None, None)]
    assert told[0].kl == 0.4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0] * 1000, None),
        ([1.0] * 999 + [120.0], (1, 120 / 1119)),
        ([1.0] * 990 + [40.0] * 10, (10, 400 / 1390)),
        ([0.01] * 3960 + [1.0] * 40, (40, 40 / 79.6)),
        ([1.0] * 19, None),
        ([0.0] * 100, None),
    ],
)
def test_few_tokens_that_carry_much(values: list[float], expected: tuple[int, float] | None) -> None:
    """One with a tenth, ten with a quarter, one in a hundred with half; never a large part of all tokens."""
    found = concentration(np.array(values))
    assert found == (None if expected is None else pytest.approx(expected))
