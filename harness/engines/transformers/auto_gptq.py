"""GPTQ checkpoints where auto-gptq 0.7.1 is all there is: it reads them, and three things have to be put right.

It wants a `quantize_config.json`, it leaves tied embeddings at zero, and it runs on transformers 4, which spells
`rope_theta` and `torch_dtype` as transformers 5 no longer does.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from harness.errors import EngineError

KEYS = ("bits", "group_size", "desc_act", "sym", "damp_percent", "true_sequential")


def load_gptq(path: str, keywords: dict[str, Any]) -> Any:
    """The causal language model of a GPTQ folder, on the device that `keywords` name."""
    from auto_gptq import AutoGPTQForCausalLM
    from safetensors import safe_open

    if "offload_folder" in keywords:
        raise EngineError(f"{path}: auto-gptq loads a model onto one device; leave device_map and max_memory out")
    source = Path(path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in source.iterdir():
            if file.suffix != ".json" or file.name.startswith("tokenizer") or file.name.endswith("index.json"):
                (folder / file.name).symlink_to(file.resolve())
        config = _old_spelling(json.loads((source / "config.json").read_text()))
        quantization = config.pop("quantization_config")
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "quantize_config.json").write_text(
            json.dumps({k: quantization[k] for k in KEYS if k in quantization})
        )
        if (source / "generation_config.json").is_file():
            shutil.copy(source / "generation_config.json", folder)
        device = (
            keywords.get("device_map", {}).get("", "cpu") if isinstance(keywords.get("device_map"), dict) else "cpu"
        )
        found = AutoGPTQForCausalLM.from_quantized(
            str(folder), device=str(device), use_safetensors=True, use_triton=False, inject_fused_attention=False,
            inject_fused_mlp=False, trust_remote_code=keywords["trust_remote_code"], torch_dtype=_dtype(keywords),
        )  # fmt: skip
        model = found.model
        embeddings = model.get_input_embeddings()
        for file in sorted(source.glob("*.safetensors")):
            with safe_open(str(file), framework="pt") as tensors:
                for key in ("model.embed_tokens.weight", "lm_head.weight"):
                    if key in tensors.keys() and not embeddings.weight.any():  # noqa: SIM118  # no mapping
                        embeddings.weight.data.copy_(tensors.get_tensor(key))
        if config.get("tie_word_embeddings"):
            model.tie_weights()
        if not embeddings.weight.any():
            raise EngineError(f"{path}: auto-gptq loaded embeddings of zeros and the checkpoint holds none")
    return model


def _dtype(keywords: dict[str, Any]) -> Any:
    import torch

    asked = keywords.get("torch_dtype", "auto")
    return torch.float32 if asked == "auto" else asked


def _old_spelling(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as transformers 4 reads it."""
    rope = config.pop("rope_parameters", None)
    if isinstance(rope, dict):
        config.setdefault("rope_theta", rope.get("rope_theta", 10000.0))
        if rope.get("rope_type", "default") != "default":
            config.setdefault("rope_scaling", {key: value for key, value in rope.items() if key != "rope_theta"})
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    return config
