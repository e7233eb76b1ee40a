"""Weights that are quantized already are found by their own description."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import EngineError
from harness.methods.already_quantized import named_method, refuse_requantization

GPTQ = {"quant_method": "gptq", "bits": 4}


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("config.json", {"model_type": "llama"}, None),
        ("config.json", {"model_type": "llama", "quantization_config": None}, None),
        ("config.json", {"quantization_config": {}}, None),
        ("config.json", {"quantization_config": GPTQ}, "gptq"),
        ("config.json", {"quantization_config": {"load_in_4bit": True}}, "unnamed method"),
        ("config.json", {"quantization_config": "fp8"}, "unnamed method"),
        ("config.json", {"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ("config.json", {"text_config": {"quantization_config": GPTQ}}, "gptq"),
        ("quantize_config.json", {"bits": 4, "group_size": 128}, "described by quantize_config.json"),
        ("quantize_config.json", GPTQ, "gptq"),
        ("quant_config.json", {"w_bit": 4}, "described by quant_config.json"),
        ("hf_quant_config.json", {"producer": {"name": "modelopt"}}, "described by hf_quant_config.json"),
    ],
)
def test_where_it_is_named(tmp_path: Path, file: str, content: dict[str, object], expected: str | None) -> None:
    """config.json, its text part, older keys, and the files of older libraries."""
    (tmp_path / file).write_text(json.dumps(content))
    assert named_method(tmp_path) == expected
    if expected is None:
        refuse_requantization(tmp_path, "awq")
        return
    with pytest.raises(EngineError, match=rf"already quantized \({expected}\), and this variant .* again with awq"):
        refuse_requantization(tmp_path, "awq")


@pytest.mark.parametrize("content", ["{", "\xff"])
def test_a_broken_description_is_an_error(tmp_path: Path, content: str) -> None:
    """Not taken for full precision."""
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(EngineError, match=r"config\.json: expected valid JSON"):
        named_method(tmp_path)
