"""The table of forms: what each row says of itself, and that suite and messages follow from it."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from harness.forms import FORMS, OWN_VALUE, fitting
from harness.suite.gate_model import Gate

LIMITS = {key: 1.5 if form.domain[1] == math.inf else 0.5 for key, form in FORMS.items()}


@pytest.mark.parametrize("key", FORMS)
def test_a_row_is_a_key_of_the_suite(key: str) -> None:
    """A gate takes the row's key with any limit of its domain, and none outside."""
    form = FORMS[key]
    gate = Gate.model_validate({"metric": "acc", "task": "t", key: LIMITS[key]})
    assert (gate.form, gate.limit, gate.row) == (key, LIMITS[key], form)
    for bound in form.domain:
        if math.isfinite(bound):
            assert not form.inside(bound)
            with pytest.raises(ValidationError):
                Gate.model_validate({"metric": "acc", "task": "t", key: float(bound)})
    assert form.inside(LIMITS[key])


@pytest.mark.parametrize("key", FORMS)
def test_percentages(key: str) -> None:
    """`50%` is a half where the row takes percentages, and an error where it does not."""
    written = {"metric": "acc", "task": "t", key: "50%"}
    if FORMS[key].percent:
        assert Gate.model_validate(written).limit == 0.5
    else:
        with pytest.raises(ValidationError):
            Gate.model_validate(written)


@pytest.mark.parametrize("key", FORMS)
def test_a_form_of_every_row_fits_a_metric(key: str) -> None:
    """A row names the kinds it fits, and is listed for each of them."""
    assert FORMS[key].kinds
    assert all(key in fitting(kind) for kind in FORMS[key].kinds)


def test_what_fits_is_listed_in_the_order_of_use() -> None:
    """Limits beside the baseline come before those on a value alone, ceilings first where less is better."""
    assert fitting("binary") == (
        "max_drop", "max_excess_drop", "max_relative_drop", "min_recovery", "min_retained", "min", "max",
    )  # fmt: skip
    assert fitting("perplexity") == ("max_increase", "min_retained", "max", "min")
    assert fitting("divergence") == ("max", "min")
    assert fitting("memory") == ("min_ratio", "max_ratio", "min", "max")


@pytest.mark.parametrize("key", FORMS)
def test_looser(key: str) -> None:
    """A higher limit lets more through exactly where it is a ceiling."""
    form = FORMS[key]
    assert form.looser(0.4, 0.3) is form.ceiling
    assert form.looser(0.3, 0.4) is not form.ceiling
    assert not form.looser(0.3, 0.3)


@pytest.mark.parametrize(
    ("key", "limit", "loss"),
    [
        ("max_drop", 0.02, 0.02),
        ("max_relative_drop", 0.25, 0.2),
        ("min_recovery", 0.75, 0.2),
        ("min_retained", 0.5, 0.1),
    ],
)
def test_allowed_loss(key: str, limit: float, loss: float) -> None:
    """At a baseline of 0.8 after a gain of 0.2: the absolute loss within the limit."""
    assert FORMS[key].allowed_loss(limit, level=0.8, gain=0.2) == pytest.approx(loss)


def test_no_allowed_loss() -> None:
    """None where the baseline's value or the gain is not known, and of limits that are not on a loss."""
    assert FORMS["max_drop"].allowed_loss(0.02, level=None) == 0.02
    assert FORMS["min_recovery"].allowed_loss(0.9, level=None) is None
    assert FORMS["min_retained"].allowed_loss(0.9, level=0.8) is None
    assert all(FORMS[key].allowed_loss(0.9, level=0.8, gain=0.2) is None for key in (*OWN_VALUE, "max_increase"))
