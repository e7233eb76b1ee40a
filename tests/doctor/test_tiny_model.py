"""The tiny model's own answers, and what is too far from them."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.doctor.tiny_model import ANSWERS, answers, relative_error, tiny_model, tolerated
from harness.doctor.trials import attempt
from harness.methods import METHODS

VALUES = st.lists(st.floats(-20, 0), min_size=2, max_size=30).filter(lambda values: max(values) - min(values) > 1e-3)


@given(VALUES)
def test_relative_error(values: list[float]) -> None:
    """0 for the same answers, 1 for their mean everywhere, half for answers half as far from it."""
    mean = math.fsum(values) / len(values)
    assert relative_error(values, values) == 0
    assert relative_error([mean] * len(values), values) == pytest.approx(1)
    assert relative_error([(value + mean) / 2 for value in values], values) == pytest.approx(0.5)


def test_unrelated_answers_are_far() -> None:
    """Independent values of equal spread are the root of two apart, which no bits explain."""
    draw = random.Random(0)
    one, other = ([draw.gauss(-5, 0.8) for _ in range(10_000)] for _ in range(2))
    assert relative_error(one, other) == pytest.approx(math.sqrt(2), rel=0.02)
    assert [tolerated(bits) for bits in (2, 2.6, 3, 4, 8, 16)] == [None, None, 0.9, 0.6, 0.6, 0.6]


@pytest.mark.slow
def test_another_models_answers_are_no_working_method(tmp_path: Path) -> None:
    """The same 8-bit weights work beside their own source's answers, and do not beside those of another model."""
    model = tiny_model(tmp_path / "model")
    block = {"bits": 8}
    works = attempt(METHODS["hqq"], block, model, tmp_path)
    assert works.state == "works"
    assert works.error == pytest.approx(0.02, abs=0.02)
    (tmp_path / ANSWERS).write_text(json.dumps(random.Random(0).sample(answers(model), len(answers(model)))))
    other = attempt(METHODS["hqq"], block, model, tmp_path)
    assert other.state == "not here"
    assert "answers unlike the model it was made from: relative error 1." in other.says
