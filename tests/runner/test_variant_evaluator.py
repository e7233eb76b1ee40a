"""Which variants are not worth asking."""

from __future__ import annotations

import pytest

from harness.records.evaluation_manifest import EngineFacts
from harness.runner.variant_evaluator import unfit
from harness.suite.variant_model import Variant

FACTS = EngineFacts(
    engine="scripted",
    architecture="A",
    model_type="a",
    parameters=1,
    dtype="float32",
    device="cpu",
    quantized_modules=12,
)
BASELINE, QUANTIZED = Variant(baseline=True), Variant(path="small", quantized=True)


@pytest.mark.parametrize(
    ("spec", "changes", "expected"),
    [
        (BASELINE, {}, False),
        (BASELINE, {"quantized_modules": 0}, False),
        (BASELINE, {"non_finite": ("lm_head.weight",)}, True),
        (QUANTIZED, {}, False),
        (QUANTIZED, {"quantized_modules": 0}, True),
        (QUANTIZED, {"non_finite": ("lm_head.weight",)}, True),
        (Variant(path="small", quantized=False), {"quantized_modules": 0}, False),
    ],
)
def test_weights_that_mean_nothing(spec: Variant, changes: dict[str, object], expected: bool) -> None:
    """NaN in any model, and nothing quantized in one that has to be; a full-precision candidate needs none."""
    assert unfit(FACTS.model_copy(update=changes), spec) is expected
