"""`max_increase`: the relative rise over documents."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats import perplexity_ratio
from tests.forms.handmade import documents, judged

NLL = np.linspace(200.0, 300.0, 40)
RISE = np.tile([2.0, 0.0], 20)
TWO = {"metric": "perplexity", "max_increase": 0.02}


def test_perplexity() -> None:
    """e to the mean rise of a token's negative log-likelihood, with the bounds of `perplexity_ratio`."""
    found = judged(TWO, documents(NLL, NLL + RISE))
    expected = perplexity_ratio(RISE, np.full(40, 100.0))
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(np.expm1(0.01))
    assert (found.estimate.lower, found.estimate.upper) == (expected.lower - 1, expected.upper - 1)
    assert found.decision == "PASS"
    assert str(found.reason).startswith("perplexity up 1.01 %, one-sided 95 % bounds ")
    assert str(found.reason).endswith("over 40 documents; limit 2.00 %")


@pytest.mark.parametrize(("metric", "counted"), [("byte_perplexity", 400.0), ("word_perplexity", 80.0)])
def test_per_byte_and_per_word(metric: str, counted: float) -> None:
    """The same over what the metric counts."""
    found = judged({"metric": metric, "max_increase": 0.03}, documents(NLL, NLL + RISE, words=80.0))
    expected = perplexity_ratio(RISE, np.full(40, counted))
    assert found.estimate is not None
    assert (found.estimate.value, found.estimate.upper) == (expected.ratio - 1, expected.upper - 1)
    assert found.decision == "PASS"


def test_few_documents() -> None:
    """Under 20 nothing is decided, and the reason says how many are there."""
    found = judged(TWO, documents(NLL[:19], NLL[:19]))
    assert (found.decision, found.more_items) == ("INCONCLUSIVE", 1)
    assert str(found.reason).endswith("; 19 documents are too few for an interval (20 at least)")


def test_a_fall() -> None:
    """Less perplexity is said as such."""
    assert str(judged({**TWO, "metric": "bits_per_byte"}, documents(NLL, NLL - RISE)).reason).startswith(
        "bits per byte down 0.40 %"
    )


def test_an_item_metric_has_no_increase() -> None:
    """lm-eval's own metrics have no row; what their values show decides which form fits."""
    from tests.forms.handmade import paired

    found = judged({"metric": "bleu", "max_increase": 0.02}, paired([0.2, 0.4], [0.2, 0.4]))
    assert found.decision == "INVALID"
    assert str(found.reason).startswith("max_increase does not fit bleu; use one of max_drop, ")
