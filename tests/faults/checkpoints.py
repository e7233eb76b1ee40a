"""Tiny checkpoints and adapters to take apart: one layer of 16, saved as safetensors."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.engines.protocol import LoadSpec, ScoreRequest
from harness.engines.transformers import transformers_engine as engine
from tests.engines.tiny import save_tokenizer, tiny_config

Tensors = dict[str, Any]
ASKED = ScoreRequest(context=(5, 9, 12, 30), continuations=((7, 8, 9), (11,)))
SMALL: dict[str, Any] = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 32}


def save_model(folder: Path, config: Any, *, seed: int = 0, auto: str = "AutoModelForCausalLM") -> Path:
    """A random model of a configuration, with weights large enough that every layer shows."""
    import torch
    import transformers

    torch.manual_seed(seed)
    model = getattr(transformers, auto).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6.0)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_llama(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """The smallest Llama, its output layer its own unless `tie_word_embeddings`."""
    return save_model(folder, tiny_config("llama", **{**SMALL, **changes}), seed=seed)


def altered(source: Path, folder: Path, change: Callable[[Tensors], None], file: str = "model.safetensors") -> Path:
    """A copy whose tensors `change` alters in place."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, folder)
    tensors = load_file(folder / file)
    change(tensors)
    save_file(tensors, folder / file, metadata={"format": "pt"})
    return folder


def configured(source: Path, folder: Path, file: str = "config.json", **changes: Any) -> Path:
    """A copy with other entries in its config.json; None takes one out."""
    shutil.copytree(source, folder)
    found = json.loads((folder / file).read_text())
    found.update(changes)
    (folder / file).write_text(json.dumps({key: value for key, value in found.items() if value is not None}))
    return folder


def spec(folder: Path, **changes: Any) -> LoadSpec:
    found = {"variant": "v", "engine": "transformers", "path": str(folder), "dtype": "float32", "offline": True}
    return LoadSpec(**{**found, **changes})


def load(folder: Path, **changes: Any) -> engine.TransformersEngine:
    return engine.load(spec(folder, **changes))


def scores(loaded: engine.TransformersEngine) -> list[float]:
    """Log-probabilities of a few tokens; they move with every weight of the model."""
    return [value for each in loaded.score([ASKED])[0] for value in each.log_probs]


def save_adapter(base: Path, folder: Path, *, prepare: Callable[[Any], None] | None = None, **config: Any) -> Path:
    """A LoRA adapter on a base, whose product is not zero. `prepare` alters the base's model first."""
    import peft
    import torch
    import transformers

    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if prepare is not None:
        prepare(model)
    wanted = {"r": 2, "target_modules": ["q_proj", "up_proj"], "task_type": "CAUSAL_LM", **config}
    wrapped = peft.get_peft_model(model, peft.LoraConfig(**wanted))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting `save_embedding_layers`")  # which is what is wanted
        wrapped.save_pretrained(str(folder))
    return folder
