"""Options that tie count as one over the number tied, whatever the order of the data; everything else is lm-eval's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.planning.ties import Likelihood, shared_among_ties


def accuracy(options: Sequence[str], gold: int) -> object:
    """acc and acc_norm as lm-eval has them: the first of the largest."""

    def process(responses: Sequence[Likelihood]) -> Mapping[str, object]:
        totals = np.asarray([total for total, _ in responses])
        lengths = np.asarray([float(len(text)) for text in options])
        return {"acc": float(totals.argmax() == gold), "acc_norm": float((totals / lengths).argmax() == gold), "f": "x"}

    return process


def scored(options: Sequence[str], gold: int, totals: Sequence[float]) -> dict[str, object]:
    return shared_among_ties(accuracy(options, gold), [(each, False) for each in totals], options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("totals", "gold", "acc"),
    [
        ([-1.0, -1.0], 0, 0.5),
        ([-1.0, -1.0], 1, 0.5),
        ([-1.0, -1.0, -1.0], 2, 1 / 3),
        ([-1.0, -1.0, -2.0], 2, 0.0),
        ([0.0, 0.0, 0.0, 0.0], 3, 0.25),
        ([-1.0, -1.0000001], 1, 0.0),
        ([-2.0, -1.0], 1, 1.0),
    ],
)
def test_a_tie_is_worth_its_share(totals: list[float], gold: int, acc: float) -> None:
    """Of two 1/2, of three 1/3; near is no tie, and a tie among the others is nothing to share."""
    options = [f"o{n}" for n in range(len(totals))]
    found = scored(options, gold, totals)
    assert found["acc"] == pytest.approx(acc)
    assert found["acc_norm"] == pytest.approx(acc)
    assert found["f"] == "x"


def test_likelihoods_a_character_tie_on_their_own() -> None:
    """-2 over two letters and -4 over four tie for acc_norm and not for acc; the other way round too."""
    assert scored(["ab", "abcd"], 1, [-2.0, -4.0]) == {"acc": 0.0, "acc_norm": 0.5, "f": "x"}
    assert scored(["ab", "abcd"], 1, [-4.0, -4.0]) == {"acc": 0.5, "acc_norm": 1.0, "f": "x"}


def test_equal_texts_are_one_option() -> None:
    """Taking the first of two equal texts is no choice, so nothing is shared between them."""
    assert scored(["a", "a", "b"], 0, [-1.0, -1.0, -2.0])["acc"] == 1.0
    assert scored(["a", "a", "b"], 2, [-1.0, -1.0, -1.0])["acc"] == 0.5


@settings(deadline=None)
@given(
    totals=st.lists(st.sampled_from([-1.0, -2.0, -3.5, 0.0]), min_size=2, max_size=6),
    gold=st.integers(0, 5),
    seed=st.randoms(use_true_random=False),
)
def test_the_order_of_the_options_does_not_matter(totals: list[float], gold: int, seed: object) -> None:
    """Shuffled options give the same score; over all golds the scores sum to one."""
    gold %= len(totals)
    options = [chr(97 + n) for n in range(len(totals))]
    order = list(range(len(totals)))
    seed.shuffle(order)  # type: ignore[attr-defined]
    shuffled = scored([options[n] for n in order], order.index(gold), [totals[n] for n in order])
    assert shuffled["acc"] == pytest.approx(scored(options, gold, totals)["acc"])
    assert sum(scored(options, each, totals)["acc"] for each in range(len(totals))) == pytest.approx(1)  # type: ignore[misc]
