"""A broken copy of the real model, which claims nothing: only its answers tell."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

import pytest

import harness

pytestmark = [pytest.mark.model, pytest.mark.slow]
FACTS = Path(__file__).parents[2] / "suites" / "data" / "facts.jsonl"
ITEMS = 80


def broken(model: Path, folder: Path, fault: str) -> Path:
    """A copy of the model with one layer that does nothing, or with two that have changed places."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = load_file(model / "model.safetensors")
    first, second = "model.layers.0.", "model.layers.29."
    for name in [name for name in tensors if name.startswith(first)]:
        other = second + name.removeprefix(first)
        if fault == "swapped":
            tensors[name], tensors[other] = tensors[other], tensors[name]
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            tensors[name] = tensors[name] * 0
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.fault("F11", "a layer of zeros, or two layers swapped, in a copy that claims nothing", "FAIL")
def test_layers_that_are_wrong_fail(model: Path, tmp_path: Path) -> None:
    """Every weight is finite and every key is there: the drop gate alone sees it."""
    with FACTS.open() as lines:
        (tmp_path / "facts.jsonl").write_text("".join(islice(lines, ITEMS)))
    faults = ("zeroed", "swapped")
    suite = {
        "suite": "broken",
        "model": str(model),
        "variants": {
            "fp32": {"baseline": True, "dtype": "float32"},
            **{
                fault: {"path": str(broken(model, tmp_path / fault, fault)), "dtype": "float32", "quantized": False}
                for fault in faults
            },
        },
        "tasks": {
            "facts": {
                "choice": {
                    "data": "facts.jsonl",
                    "prompt": "Question: {{question}}\nAnswer:",
                    "choices": "{{choices}}",
                    "answer": "{{answer}}",
                },
                "id": "id",
            }
        },
        "noise_floor": False,
        "gates": [{"task": "facts", "metric": "acc", "max_drop": 0.04}],
    }
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    run = harness.run(tmp_path / "suite.yaml", results=tmp_path / "results", offline=True)
    assert {each.variant: each.decision for each in run.verdict.candidates} == dict.fromkeys(faults, "FAIL")
    assert run.verdict.exit_code == 10
    for fault in faults:
        shutil.rmtree(tmp_path / fault)
