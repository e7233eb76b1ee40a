"""Other ways of loading than the rows of the methods' table, tried in the same way: other libraries that read or
make a method's checkpoints, adapters, servers, vLLM.

Each uses the tiny model, and creates here what else it needs: a GGUF file, an adapter, a server on loopback.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.doctor.trials import Attempt, attempt, attempt_suite, load_and_score, quantize_block, tried
from harness.engines.protocol import Facts, GenerateRequest
from harness.engines.registry import ENGINES
from harness.engines.served.fake import ABSENT, Answer, FakeServer
from harness.errors import EngineError
from harness.methods import METHODS, filled
from harness.methods.base import Block
from harness.runner.interpreters import built
from harness.runner.made_checkpoints import make_checkpoint
from harness.runner.variants import resolve_variant
from harness.suite.variant_model import FULL_BITS
from harness.worker.client import Worker
from harness.worker.environments import shipped
from harness.worker.versions import gpu_count

GPTQ: Block = {"bits": 4, "group_size": 32}
AWQ: Block = {"group_size": 32, "tool": "autoawq"}
NF4: Block = {"method": "bitsandbytes", "bits": 4, "type": "nf4"}
GGUF_TYPE = "Q8_0"
HEADS = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
RANK, TARGETS = 4, ("q_proj", "v_proj")
"""Of the adapter."""
PROMPT = GenerateRequest(prompt=(5, 6, 7, 8), max_new_tokens=2)
ANSWER = " a b"
NO_GPU = (
    "the {environment} environment is for CUDA, and no NVIDIA GPU is visible here; a build for CPUs may be an "
    "`environment` of your own"
)


def _auto_gptq(name: str, model: Path, scratch: Path) -> Attempt:
    """A checkpoint that auto-gptq reads in its own environment; it makes one itself on CUDA only."""
    method, block = METHODS["gptq"], dict(GPTQ)
    why = method.not_here(filled("gptq", {**block, "tool": "auto-gptq"}), gpu_count() > 0)
    if why is None:
        block["tool"] = "auto-gptq"

    def load() -> tuple[Facts, float]:
        built(shipped()["auto-gptq"])
        suite = attempt_suite({"quantize": quantize_block(method, block, model)}, model, scratch)
        made = make_checkpoint(suite, "tried", scratch / "artifacts")
        return load_and_score(name, {"path": str(made.model), "environment": "auto-gptq"}, model, scratch)

    return tried(name, load, block=block, bits=4, note=why or "")


def _autoawq(name: str, model: Path, scratch: Path) -> Attempt:
    return replace(attempt(METHODS["awq"], AWQ, model, scratch), method=name)


def _gguf(name: str, model: Path, scratch: Path) -> Attempt:
    variant = {"path": str(scratch / "gguf"), "gguf_file": "tiny.gguf", "tokenizer": str(model)}

    def load() -> tuple[Facts, float]:
        write_gguf(model, scratch / "gguf" / "tiny.gguf")
        return load_and_score(name, variant, model, scratch)

    return tried(name, load, block={"gguf_file": "tiny.gguf"}, bits=8)


def _peft(name: str, model: Path, scratch: Path) -> Attempt:
    return _adapted(name, {}, model, scratch)


def _qlora(name: str, model: Path, scratch: Path) -> Attempt:
    return _adapted(name, {"quantize": NF4}, model, scratch)


def _adapted(name: str, variant: Mapping[str, object], model: Path, scratch: Path) -> Attempt:
    """The tiny model with an adapter: its weights must be among those that were loaded."""
    sizes = 0

    def load() -> tuple[Facts, None]:
        nonlocal sizes
        plain, sizes = write_adapter(model, scratch / "adapter")
        facts, _ = load_and_score(name, {**variant, "adapter": str(scratch / "adapter")}, model, scratch)
        if facts.parameters != plain + sizes:
            raise EngineError(f"loads {facts.parameters - plain} weights of an adapter that has {sizes}")
        return facts, None

    block: Block = NF4 if variant else {}
    found = tried(name, load, block=block, bits=4 if variant else FULL_BITS)
    if found.state != "works":
        return found
    return replace(found, says=f"{found.says}; {sizes} weights of an adapter on it")


def _served(name: str, model: Path, scratch: Path) -> Attempt:
    """Answers of a server on loopback that this process plays; only the user knows the address of a real one."""

    def load() -> tuple[Facts, None]:
        with FakeServer(stand_in) as server:
            suite = attempt_suite({"url": server.url}, model, scratch)
            variant = resolve_variant(suite, "tried", offline=True)
            with Worker(name, log=scratch / f"{name}.log", environment={"NO_PROXY": "127.0.0.1"}) as worker:
                facts = worker.load(variant.load)
                text = worker.generate([PROMPT])[0].text
        if text != ANSWER:
            raise EngineError(f"expected the answer {ANSWER!r} of an OpenAI-style server, got {text!r}")
        return facts, None

    found = tried(name, load, block={}, bits=FULL_BITS)
    if found.state != "works":
        return found
    says = "asks OpenAI-style servers; needs one that runs (url: http://HOST:PORT), log-probs for choice tasks"
    return Attempt(method=name, state="works", says=says)


def _engine(name: str, model: Path, scratch: Path) -> Attempt:
    """An engine as its row says to try it."""
    row = ENGINES[name]
    if row.environment is not None and shipped()[row.environment].needs_cuda and gpu_count() == 0:
        return Attempt(method=name, state="not here", says=NO_GPU.format(environment=row.environment))
    variant = {"engine": name, **(row.trial or {})}
    return tried(name, lambda: load_and_score(name, variant, model, scratch), block={}, bits=FULL_BITS)


WAYS: Mapping[str, Callable[[str, Path, Path], Attempt]] = {
    "auto-gptq": _auto_gptq,
    "autoawq": _autoawq,
    "gguf-transformers": _gguf,
    "peft": _peft,
    "peft-on-nf4": _qlora,
    "served": _served,
    **{row.name: _engine for row in ENGINES.values() if row.trial is not None},
}
"""Name, model and scratch folder to the outcome."""


def attempt_loader(name: str, model: Path, scratch: Path) -> Attempt:
    """One of `WAYS`."""
    return WAYS[name](name, model, scratch)


def write_gguf(model: Path, file: Path) -> None:
    """The tiny model as llama.cpp's converter lays it out, its linear layers in Q8_0. Raises `EngineError`."""
    try:
        import gguf
    except ImportError as error:
        raise EngineError("gguf is not installed: pip install 'quantgate[gguf]'") from error
    from safetensors.numpy import load_file

    config = json.loads((model / "config.json").read_text())
    file.parent.mkdir(parents=True, exist_ok=True)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, int(config["num_hidden_layers"]))
    kind = gguf.GGMLQuantizationType[GGUF_TYPE]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    for name, values in load_file(model / "model.safetensors").items():
        known = str(names.get_name(name, try_suffixes=(".weight",)))
        heads = HEADS.get(name.split(".")[-2])
        if heads is not None:  # llama.cpp turns pairs of neighbours, transformers halves
            split = values.reshape(config[heads], 2, -1, values.shape[1]).swapaxes(1, 2)
            writer.add_tensor(known, gguf.quants.quantize(split.reshape(values.shape), kind), raw_dtype=kind)
        elif values.ndim == 2 and "_proj" in name:
            writer.add_tensor(known, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(known, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_adapter(model: Path, folder: Path) -> tuple[int, int]:
    """A LoRA adapter of small random weights, as peft saves one. How many weights the model and the adapter have."""
    import torch
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True, exist_ok=True)
    generator, tensors, plain = torch.Generator().manual_seed(0), {}, 0
    for name, values in load_file(model / "model.safetensors").items():
        plain += values.numel()
        if name.split(".")[-2] in TARGETS:
            stem = f"base_model.model.{name.removesuffix('.weight')}"
            for part, shape in (("lora_A", (RANK, values.shape[1])), ("lora_B", (values.shape[0], RANK))):
                tensors[f"{stem}.{part}.weight"] = 0.05 * torch.randn(*shape, generator=generator)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 2 * RANK, "lora_dropout": 0.0,
        "bias": "none", "target_modules": list(TARGETS), "base_model_name_or_path": str(model),
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return plain, sum(values.numel() for values in tensors.values())


def stand_in(path: str, body: dict[str, Any]) -> Answer:
    """An OpenAI-style server that gives every prompt the same answer and no log-probs."""
    if path == "/v1/models":
        return Answer(body={"data": [{"id": "tiny", "owned_by": "quantgate"}]})
    if path != "/v1/completions":
        return ABSENT
    usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": body["max_tokens"]}
    return Answer(body={"choices": [{"index": 0, "text": ANSWER, "finish_reason": "length"}], "usage": usage})
