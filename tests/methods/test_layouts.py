"""Layouts of four bits that llm-compressor writes and no method of ours makes: read, and counted as quantized."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.doctor.tiny_model import PROBES, log_probs, tiny_model
from harness.runner.variants import resolve_variant
from harness.suite.load import parse_suite
from harness.worker.client import Worker
from tests.environments import Interpreter

MAKE = """
import sys
import torch, transformers
from llmcompressor import oneshot
from llmcompressor.modifiers.quantization import QuantizationModifier
source, scheme, out = sys.argv[1:]
torch.set_num_threads(1)
model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
oneshot(model=model, recipe=QuantizationModifier(targets="Linear", ignore=["lm_head"], scheme=scheme))
model.save_pretrained(out, save_compressed=True)
transformers.AutoTokenizer.from_pretrained(source).save_pretrained(out)
"""
LAYOUTS = {
    "NVFP4A16": ("nvfp4-pack-quantized", 4.0),
    "MXFP4A16": ("mxfp4-pack-quantized", 4.0),
}


@pytest.mark.slow
@pytest.mark.fault(
    "kind: layouts of quantized weights", "a checkpoint in each layout of compressed-tensors", "all read"
)
@pytest.mark.parametrize("scheme", LAYOUTS)
def test_layouts_of_compressed_tensors(scheme: str, tmp_path: Path, interpreter: Interpreter) -> None:
    """Every linear layer counts as quantized, though transformers decompresses it; the claim is read; likelihoods of a
    few tokens move by less than they would with other weights."""
    python = interpreter("llm-compressor")
    model, out = tiny_model(tmp_path / "model"), tmp_path / "made"
    layout, bits = LAYOUTS[scheme]
    subprocess.run(
        [python, "-c", MAKE, str(model), scheme, str(out)],
        check=True, capture_output=True, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=600,
    )  # fmt: skip
    assert json.loads((out / "config.json").read_text())["quantization_config"]["format"] == layout
    suite = {
        "suite": "layouts",
        "model": str(model),
        "variants": {
            "full": {"baseline": True, "dtype": "bfloat16", "environment": "llm-compressor"},
            "made": {"path": str(out), "environment": "llm-compressor"},
        },
        "tasks": {"t": {"perplexity": {"data": str(tmp_path / "calibration.jsonl")}}},
    }
    loaded = parse_suite(json.dumps(suite), tmp_path / "suite.yaml")
    found = {}
    for name in ("full", "made"):
        variant = resolve_variant(loaded, name, offline=True, artifacts=tmp_path / "artifacts")
        runtime, log = variant.runtime, tmp_path / f"{name}.log"
        with Worker(name, log=log, interpreter=runtime.interpreter, environment=runtime.variables) as worker:
            facts = worker.load(variant.load)
            found[name] = log_probs(worker.score(PROBES))
    assert facts.quantized_modules == facts.linear_modules > 0
    assert facts.quantized_kinds == {"decompressed": facts.linear_modules}
    assert (facts.claimed_bits, facts.packed_matrix_parameters) == (bits, facts.matrix_parameters)
    moved = max(abs(one - other) for one, other in zip(found["full"], found["made"], strict=True))
    assert 0 < moved < 1.0
