"""Suites behind docs/methods.md whose variants are no row of the methods' table.

Checkpoints read by another library than the one that made them; an adapter on the full-precision base and on quantized
ones; a model behind llama.cpp's own server. methods.py measures them; what they need is made here, once.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from harness.runner.interpreters import environments
from harness.worker.environments import from_requirements

GGUF_TYPES = ("Q4_K_M", "Q8_0")
SERVER_PACKAGE = "xllamacpp==2026.10.11549"
SERVER = """
import sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.model_alias = sys.argv[1], {"served"}
params.hostnames, params.port = ["127.0.0.1"], 0
params.n_ctx, params.n_parallel = 1024, 4
server = xllamacpp.Server(params)
print("listens: " + server.listening_address, flush=True)
sys.stdin.read()
"""
STEPS, ROWS, LENGTH, RATE, RANK = 24, 4, 128, 5e-4, 8
"""Of the adapter's training: steps, rows of a step, tokens of a row, learning rate, and LoRA's rank."""

Variants = dict[str, dict[str, Any]]


def artifact(folder: Path, method: str, **asked: Any) -> Path | None:
    """A checkpoint made with these parameters by the method's first tool; None before it is."""
    wanted = {"method": method, **asked}
    for card in sorted((folder / "artifacts").glob(f"{method}-*/card.json")):
        found = json.loads(card.read_text())["parameters"]
        if "tool" not in found and wanted.items() <= found.items():
            return card.parent / "model"
    return None


def readers(folder: Path, model: Path) -> Variants:
    """Checkpoints that are there, read by other libraries than those that made them."""
    variants: Variants = {}
    if (gptq := artifact(folder, "gptq", bits=4, group_size=32)) is not None:
        variants["gptq.b4.g32.folder"] = {"path": str(gptq)}
        variants["gptq.b4.g32.by-auto-gptq"] = {"path": str(gptq), "environment": "auto-gptq"}
    for kind in GGUF_TYPES:
        if (gguf := artifact(folder, "gguf", type=kind)) is not None:
            variants[f"gguf.{kind}.by-transformers"] = {
                "path": str(gguf),
                "gguf_file": next(gguf.glob("*.gguf")).name,
                "tokenizer": str(model),
            }
    return variants


def adapters(folder: Path, model: Path) -> Variants:
    """One adapter on the full-precision base, which is the baseline, and on quantized ones."""
    adapter = {"adapter": str(make_adapter(folder, model)), "dtype": "float32"}
    quantized: Mapping[str, dict[str, Any]] = {"b8": {"bits": 8}, "b4.nf4": {"bits": 4, "type": "nf4"}}
    return {
        "adapter.float32": {"baseline": True, **adapter},
        **{
            f"adapter.bitsandbytes.{name}": {**adapter, "quantize": {"method": "bitsandbytes", **block}}
            for name, block in quantized.items()
        },
    }


def make_adapter(folder: Path, model: Path) -> Path:
    """A LoRA adapter on the attention's projections, trained on the text that calibrates the other rows."""
    made = folder / "adapter"
    if (made / "adapter_config.json").is_file():
        return made
    import peft
    import torch
    import transformers

    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    base = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    config = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    tuned = peft.get_peft_model(base, config)
    text = "\n".join(json.loads(line)["text"] for line in (folder / "calibration.jsonl").read_text().splitlines())
    ids = torch.tensor(tokenizer(text)["input_ids"][: STEPS * ROWS * LENGTH]).view(STEPS, ROWS, LENGTH)
    optimizer = torch.optim.AdamW((each for each in tuned.parameters() if each.requires_grad), lr=RATE)
    tuned.train()
    for rows in ids:
        tuned(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    tuned.save_pretrained(str(made))
    return made


@contextmanager
def served(folder: Path) -> Iterator[Variants]:
    """The GGUF files that are there, each behind a llama.cpp server on loopback for as long as this is open."""
    python = environments().build(from_requirements((SERVER_PACKAGE,), suite="served.yaml"))
    variants, processes = {}, []
    try:
        for kind in GGUF_TYPES:
            if (gguf := artifact(folder, "gguf", type=kind)) is None:
                continue
            process = subprocess.Popen(
                [str(python), "-c", SERVER, str(next(gguf.glob("*.gguf")))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            processes.append(process)
            assert process.stdout is not None
            address = next(line for line in process.stdout if line.startswith("listens: "))
            variants[f"served.{kind}"] = {"url": f"{address.removeprefix('listens: ').strip()}/v1"}
        yield variants
    finally:
        for process in processes:
            process.kill()
            process.communicate()


OTHERS: Mapping[str, Callable[[Path, Path], AbstractContextManager[Variants]]] = {
    "readers": lambda folder, model: nullcontext(readers(folder, model)),
    "adapters": lambda folder, model: nullcontext(adapters(folder, model)),
    "served": lambda folder, model: served(folder),
}
"""Name to variants, there as long as they are held; none where what they read was not made yet."""
