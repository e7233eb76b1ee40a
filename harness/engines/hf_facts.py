"""What was really loaded, read off the tensors: quantized modules, bits, bytes, damaged weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.engines.hf_head import Head
from harness.engines.hf_load import Loaded, core_of, input_device
from harness.engines.hf_score import Scorer
from harness.engines.seam import Facts

QUANTIZED_CLASSES: Mapping[str, str] = {
    "Linear8bitLt": "bitsandbytes LLM.int8",
    "Linear4bit": "bitsandbytes 4-bit",
}
"""Quantized linear classes and the kernels behind them. A new method is a row here."""
LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "accelerate",
    "bitsandbytes",
    "peft",
    "numpy",
)
MOST_NAMES = 20
SAMPLED = 64
"""Values of each tensor that go into the digest."""
BLOCK = 1 << 24
"""Values checked for NaN at once."""


def gather_facts(loaded: Loaded, head: Head, scorer: Scorer, load_s: float) -> Facts:
    """Facts of a loaded model. Costs one pass over the weights."""
    model = loaded.model
    core = core_of(model)
    text = core.config.get_text_config()
    linear = _linear_modules(core)
    quantized = {name: module for name, module in linear.items() if _is_quantized(module)}
    kinds: dict[str, int] = {}
    for module in quantized.values():
        kinds[type(module).__name__] = kinds.get(type(module).__name__, 0) + 1
    device = input_device(model)
    notes = [f"scored option by option: {scorer.reason}"] if scorer.reason else []
    if head.why_not:
        notes.append(f"no stored states: {head.why_not}")
    if core.config._attn_implementation:
        notes.append(f"attention: {core.config._attn_implementation}")
    digest, broken = _inspect(model)
    return Facts(
        engine="transformers",
        architecture=type(core).__name__,
        model_type=str(core.config.model_type),
        parameters=_parameters(model, quantized),
        dtype=str(core.dtype).removeprefix("torch."),
        device=_devices(model, str(device)),
        device_names=_device_names(device),
        linear_modules=len(linear),
        quantized_modules=len(quantized),
        quantized_kinds=kinds,
        bits_per_weight=_bits(linear),
        weight_bytes=sum(_storages(model).values()),
        disk_bytes=_disk_bytes(Path(loaded.weights_path)),
        kernels=tuple(sorted({QUANTIZED_CLASSES[kind] for kind in kinds})),
        vocabulary=int(text.vocab_size),
        context_length=getattr(text, "max_position_embeddings", None),
        versions=_versions(),
        non_finite=broken,
        weights_digest=digest,
        scoring_path=scorer.path,
        load_s=load_s,
        notes=tuple(notes),
    )


def _linear_modules(core: Any) -> dict[str, Any]:
    """Linear layers by name, quantized or not, without the output layer, adapters' own and their wrappers."""
    import torch

    head = core.get_output_embeddings()
    kinds = (torch.nn.Linear,)
    found = {}
    for name, module in core.named_modules():
        plain = isinstance(module, kinds) or type(module).__name__ in QUANTIZED_CLASSES
        transposed = type(module).__name__ == "Conv1D" and hasattr(module, "nf")
        wrapper = hasattr(module, "base_layer")  # PEFT's, which is named like the layer it wraps
        if (plain or transposed) and not wrapper and module is not head and "lora_" not in name:
            found[name] = module
    return found


def _is_quantized(module: Any) -> bool:
    """The class is a quantized one and its weight really is packed into integers."""
    weight = getattr(module, "weight", None)
    return type(module).__name__ in QUANTIZED_CLASSES and weight is not None and not weight.data.is_floating_point()


def _tensors(holder: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Every tensor a module owns itself: parameters, buffers, and the quantization state hung on either."""
    import torch

    seen = set() if seen is None else seen
    if id(holder) in seen:
        return
    seen.add(id(holder))
    if isinstance(holder, torch.Tensor):
        yield holder
    if isinstance(holder, torch.nn.Module):
        own: list[Any] = [
            *holder._parameters.values(),
            *holder._buffers.values(),
            getattr(holder, "state", None),
        ]
    else:
        own = list(getattr(holder, "__dict__", {}).values())
    for value in own:
        if isinstance(value, torch.Tensor) or type(value).__name__ in ("QuantState", "MatmulLtState"):
            yield from _tensors(value, seen)


def _storages(root: Any) -> dict[int, int]:
    """Bytes by storage address over a whole model or one module."""
    found = {}
    for module in root.modules():
        for tensor in _tensors(module):
            storage = tensor.untyped_storage()
            if storage.nbytes():
                found[storage.data_ptr()] = storage.nbytes()
    return found


def _logical(module: Any) -> int:
    """Weights of a linear layer, unpacked."""
    if hasattr(module, "in_features") and hasattr(module, "out_features"):
        return int(module.in_features) * int(module.out_features)
    return int(module.weight.numel())


def _bits(linear: Mapping[str, Any]) -> float | None:
    """Resident bits over logical weights of the linear layers, biases and quantization state included."""
    weights = sum(_logical(module) for module in linear.values())
    if weights == 0:
        return None
    storages: dict[int, int] = {}
    for module in linear.values():
        storages.update(_storages(module))
    return 8 * sum(storages.values()) / weights


def _parameters(model: Any, quantized: Mapping[str, Any]) -> int:
    packed = {id(module.weight): _logical(module) for module in quantized.values()}
    return sum(packed.get(id(parameter), parameter.numel()) for parameter in model.parameters())


def _inspect(model: Any) -> tuple[str, tuple[str, ...]]:
    """Digest over a fixed sample of every tensor, and the names of those that hold NaN or infinity."""
    import torch

    digest = hashlib.sha256()
    broken: list[str] = []
    for name, module in model.named_modules():
        for number, tensor in enumerate(_tensors(module)):
            flat = tensor.detach().reshape(-1)
            digest.update(f"{name}/{number}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
            if flat.numel():
                step = max(1, flat.numel() // SAMPLED)
                digest.update(flat[::step][:SAMPLED].double().cpu().numpy().tobytes())
            if tensor.is_floating_point() and not all(
                bool(torch.isfinite(flat[start : start + BLOCK]).all()) for start in range(0, flat.numel(), BLOCK)
            ):
                own = [name for name, value in module._parameters.items() if value is not None]
                broken.append(f"{name}.{own[0] if len(own) == 1 else number}".lstrip("."))
    return digest.hexdigest(), tuple(broken[:MOST_NAMES])


def _disk_bytes(path: Path) -> int | None:
    """Bytes of the weight files of a local folder; None for a hub id."""
    if not path.is_dir():
        return None
    files = [each for pattern in ("*.safetensors", "*.bin", "*.gguf") for each in path.glob(pattern)]
    return sum(each.stat().st_size for each in files) or None


def _devices(model: Any, default: str) -> str:
    """One device, or every device of a map."""
    placed = getattr(model, "hf_device_map", None)
    if not placed:
        return default
    names = sorted({f"cuda:{value}" if isinstance(value, int) else str(value) for value in placed.values()})
    return ",".join(names)


def _device_names(device: Any) -> tuple[str, ...]:
    import torch

    if device.type != "cuda":
        return ()
    return tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
