"""Every example of every method on a tiny real model: made, loaded, shown to be quantized, scored.

A new method's row is picked up here without a change. `make environments` builds the environments; where one could not
be built, its methods fail with pip's reason.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.doctor.tiny_model import ANSWERS, PROBES, WIDTH, log_probs, measured, tiny_model
from harness.doctor.trials import attempt
from harness.engines.protocol import Facts, Workload
from harness.errors import EngineError
from harness.methods import METHODS, filled
from harness.methods.base import Block, Method
from harness.runner.variants import resolve_variant
from harness.suite.load import parse_suite
from harness.suite.quantize_block import MODELS
from harness.worker.client import Worker
from harness.worker.environments import shipped
from harness.worker.versions import gpu_count
from tests.environments import Interpreter

CASES = [
    pytest.param(method, block, id=f"{name}-{json.dumps(dict(block))}")
    for name, method in METHODS.items()
    for block in method.examples
]


def kind(method: Method, block: Block) -> tuple[object, ...]:
    """What its code path is chosen by: tool and names of formats. Bits, group sizes and switches are not in it."""
    return method.name, *sorted(item for item in block.items() if isinstance(item[1], str))


def with_thorough() -> list[object]:
    """The cases; all but the first of a kind are thorough."""
    rows = [kind(method, block) for method in METHODS.values() for block in method.examples]
    return [
        pytest.param(*case.values, id=case.id, marks=pytest.mark.thorough) if own in rows[:number] else case
        for number, (case, own) in enumerate(zip(CASES, rows, strict=True))
    ]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def needed(method: Method, block: Block) -> set[str]:
    tool = method.tool(block)
    names = {method.environment} if method.environment else set()
    return names | ({tool.environment} if tool is not None else set())


@pytest.mark.slow
@pytest.mark.parametrize(("method", "block"), with_thorough())
def test_method(method: Method, block: Block, model: Path, tmp_path: Path, interpreter: Interpreter) -> None:
    """It works, or this hardware cannot have it; holding no quantized module is not working."""
    whole = filled(method.name, block)
    if (why := method.not_here(whole, gpu_count() > 0)) is not None:
        pytest.skip(why)
    for name in sorted(needed(method, whole)):
        interpreter(name)
    found = attempt(method, block, model, tmp_path)
    assert found.state == "works", found.says
    if "full precision" in found.says or "speed and memory are not" in found.says:
        return
    full = method.name == "gguf" and block["type"] == "F16"
    assert found.bits_per_weight is not None
    assert found.bits_per_weight < (17 if full else 1.5 * method.bits(whole) + 2)


@pytest.mark.parametrize(("method", "block"), CASES)
def test_examples_are_valid_in_a_suite(method: Method, block: Mapping[str, Any]) -> None:
    """What the matrix runs is what a suite may say, and the defaults of both agree."""
    made = MODELS[method.name].model_validate({"method": method.name, **block})
    expected = {key: value for key, value in filled(method.name, block).items() if value is not None}
    assert made.block() == expected
    assert made.claimed_bits == method.bits(made.block())


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_rows_are_whole(method: Method) -> None:
    """Each method can quantize in exactly one way, and its environments ship."""
    ways = [method.config is not None, method.apply is not None, bool(method.tools)]
    assert ways.count(True) == 1
    assert method.examples
    for name in (method.environment, *(tool.environment for tool in method.tools)):
        assert name is None or name in shipped()


def load_and_score(folder: Path, variants: dict[str, Any], name: str) -> tuple[Facts, tuple[float, ...]]:
    """What a variant's engine says of itself, and the log-probabilities of one request."""
    suite = {
        "suite": "one",
        "model": "./model",
        "variants": {"full": {"baseline": True, "dtype": "float32"}, **variants},
        "tasks": {"t": {"perplexity": {"data": "calibration.jsonl"}}},
    }
    loaded = parse_suite(json.dumps(suite), folder / "one.yaml")
    variant = resolve_variant(loaded, name, offline=True, artifacts=folder / "artifacts")
    runtime = variant.runtime
    log = folder / f"{name}.log"
    with Worker(name, log=log, interpreter=runtime.interpreter, environment=runtime.variables) as worker:
        facts = worker.load(variant.load)
        assert len(worker.time(TIMED).inter_token_s) == TIMED.new_tokens - 1
        return facts, log_probs(worker.score(PROBES))


TIMED = Workload(batch=1, prompt_tokens=8, new_tokens=3)
GPTQ = {
    "method": "gptq",
    "tool": "gptqmodel",
    "group_size": 32,
    "calibration": {"data": "calibration.jsonl", "samples": 16, "length": 32},
}


@pytest.mark.slow
def test_auto_gptq_reads_a_checkpoint_on_a_cpu(model: Path, interpreter: Interpreter) -> None:
    """A folder made by gptqmodel scores in auto-gptq's own environment as it does in gptqmodel's."""
    for name in ("gptqmodel", "auto-gptq"):
        interpreter(name)
    folder = model.parent
    _, expected = load_and_score(folder, {"made": {"quantize": GPTQ}}, "made")
    (checkpoint,) = (folder / "artifacts").glob("gptq-*/model")
    variants = {"old": {"path": str(checkpoint), "environment": "auto-gptq"}}
    facts, found = load_and_score(folder, variants, "old")
    assert facts.quantized_modules == 14
    assert "auto-gptq" in facts.kernels
    assert found == pytest.approx(expected, abs=0.05)


@pytest.mark.slow
def test_gguf_through_transformers_is_quality_only(model: Path, interpreter: Interpreter) -> None:
    """Dequantised at load: the file's quantized tensors are named, and that speed is not theirs."""
    interpreter("llama.cpp")
    folder = model.parent
    load_and_score(folder, {"q8": {"quantize": {"method": "gguf", "type": "Q8_0"}}}, "q8")
    (file,) = (folder / "artifacts").glob("gguf-*/model/model.Q8_0.gguf")
    plain = {"path": str(file.parent), "gguf_file": file.name, "tokenizer": "./model"}
    facts, _ = load_and_score(folder, {"plain": plain}, "plain")
    assert facts.quantized_kinds == {"Q8_0": 14}
    assert facts.dequantised is not None
    assert facts.bits_per_weight == 32


def uneven(model: Path) -> None:
    """Inputs that matter more than others, as in trained models: columns of the products behind norms are scaled."""
    import torch
    import transformers

    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(model)
    generator = torch.Generator().manual_seed(1)
    for layer in loaded.model.layers:
        for own in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            own.weight.data *= torch.randn(WIDTH, generator=generator).exp()
        factors = torch.randn(WIDTH, generator=generator).exp()
        for own in (layer.mlp.gate_proj, layer.mlp.up_proj):
            own.weight.data *= factors
    loaded.save_pretrained(model)
    (model.parent / ANSWERS).write_text(json.dumps(measured(loaded.eval())))


@pytest.mark.slow
def test_autoawq_goes_back_to_the_weights_it_started_from(tmp_path: Path, interpreter: Interpreter) -> None:
    """Its search scales columns by their size before it restores them; on a processor it restored scaled ones."""
    for name in ("autoawq", "gptqmodel"):
        interpreter(name)
    model = tiny_model(tmp_path / "model")
    uneven(model)
    found = attempt(METHODS["awq"], {"group_size": 32, "tool": "autoawq"}, model, tmp_path)
    assert found.state == "works", found.says
    assert found.error is not None
    assert found.error < 0.6


CLAIMS: dict[str, dict[str, Any]] = {
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": True},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"},
}


@pytest.mark.slow
@pytest.mark.parametrize("method", CLAIMS)
def test_a_claim_in_the_configuration_alone_is_refused(
    method: str, model: Path, tmp_path: Path, interpreter: Interpreter
) -> None:
    """config.json names a method, the weights are full precision: libraries would go on with random numbers."""
    interpreter("gptqmodel")
    shutil.copytree(model, tmp_path / "claim")
    config = json.loads((model / "config.json").read_text())
    (tmp_path / "claim" / "config.json").write_text(json.dumps({**config, "quantization_config": CLAIMS[method]}))
    with pytest.raises(EngineError, match=f"its config.json claims {method}, its weights do not"):
        load_and_score(model.parent, {"claim": {"path": str(tmp_path / "claim")}}, "claim")
