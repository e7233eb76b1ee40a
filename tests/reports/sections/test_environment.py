"""Host, tasks, engines."""

from __future__ import annotations

from harness.records.verdict import BaseModelFacts
from harness.reports.blocks import Facts, Panels
from harness.reports.sections.environment import section
from tests.reports.example import example, facts


def panels(**changes: object) -> dict[str, dict[str, str]]:
    (block,) = section(example().model_copy(update=changes)).blocks
    assert isinstance(block, Panels)
    return {each.title: dict(each.pairs) for each in block.panels if isinstance(each, Facts)}


def test_a_panel_for_each_variant() -> None:
    """The engine's facts as they were loaded; what is not known is not listed."""
    found = panels()
    assert list(found) == ["Host", "Tasks", "fp32 (baseline)", "bf16", "int8", "nf4", "fake"]
    assert found["int8"]["quantized modules"] == "211 of 211 linear"
    assert found["int8"]["batches"].startswith("at most 2,048 padded tokens a pass")
    assert "made" not in found["int8"]
    assert found["Tasks"]["replies"].startswith("generate, 120 items, 14,500 tokens, 2 too long to ask")


def test_the_base_model_has_one_too() -> None:
    """Where the suite names the model before fine-tuning; a variant that was not loaded has no engine."""
    base = BaseModelFacts(model="./before", facts=facts("float32", 0, 32.0, 1))
    gone = example().candidates[0].model_copy(update={"facts": None})
    found = panels(base=base, candidates=(gone,))
    assert found["base model"]["dtype"] == "float32"
    assert found["bf16"]["engine"] == "not available"
