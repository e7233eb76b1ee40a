"""What was really loaded, read off the tensors: quantized modules, bits, bytes, damaged weights."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from harness.engines.hf_generate import Generator
from harness.engines.hf_head import Head
from harness.engines.hf_inside import rounds_to
from harness.engines.hf_linear import products_notes
from harness.engines.hf_load import Loaded, core_of, input_device
from harness.engines.hf_places import Held, held, kept_at, places, places_note, runs_on, values_of
from harness.engines.hf_score import Scorer
from harness.engines.seam import Facts
from harness.methods import kernel_of

LIBRARIES = (
    *("torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft", "numpy", "bitsandbytes"),
    *("gptqmodel", "auto-gptq", "auto-round", "autoawq", "hqq", "optimum", "optimum-quanto", "torchao"),
    *("compressed-tensors", "gguf"),
)
MOST_NAMES = 20
GRID = 1e-2
"""How far decompressed weights may lie from their quantization grid, in steps of it."""
SAMPLED = 64
"""Values of each tensor that go into the digest."""
BLOCK = 1 << 24
"""Values checked for NaN at once."""


def gather_facts(loaded: Loaded, head: Head, scorer: Scorer, generator: Generator, load_s: float) -> Facts:
    """Facts of a loaded model. Costs one pass over the weights."""
    model = loaded.model
    core = core_of(model)
    text = core.config.get_text_config()
    linear = _linear_modules(core)
    packed = {name: module for name, module in linear.items() if _is_quantized(module)}
    carried = {name: module for name, module in linear.items() if name not in packed and _carries(module)}
    kinds = dict(Counter(_kind(module) for module in packed.values()))
    kernels = sorted({kernel_of(kind) for kind in kinds})
    if carried:
        kinds["decompressed"] = len(carried)
    from_file = _gguf_kinds(loaded)
    device = input_device(model)
    slower = "scored option by option" if scorer.path == "plain" else "common beginnings are computed for every item"
    notes = [*loaded.notes, *([f"{slower}: {scorer.reason}"] if scorer.reason else [])]
    if generator.reason:
        notes.append(f"answers by transformers' own loop: {generator.reason}")
    notes += scorer.reach.notes
    if head.why_not:
        notes.append(f"no stored states: {head.why_not}")
    if core.config._attn_implementation:
        notes.append(f"attention: {core.config._attn_implementation}")
    sizes = _sizes(model)
    if (placed := places_note(sizes, str(device))) is not None:
        notes.append(placed)
    notes += products_notes(model)
    notes += _coarser(list(packed.values()))
    digest, broken = _inspect(model)
    return Facts(
        engine="transformers",
        architecture=type(core).__name__,
        model_type=str(core.config.model_type),
        parameters=_parameters(model, packed),
        dtype=str(core.dtype).removeprefix("torch."),
        device=places(getattr(model, "hf_device_map", None), str(device)),
        device_names=_device_names(device),
        linear_modules=len(linear),
        quantized_modules=len(packed) + len(carried) + sum(from_file.values()),
        quantized_kinds={**kinds, **from_file},
        dequantised=loaded.dequantised if (carried or from_file) and not packed else None,
        bits_per_weight=_bits(linear),
        weight_bytes=sum(sizes.values()),
        disk_bytes=loaded.checkpoint.disk_bytes,
        kernels=tuple(kernels),
        vocabulary=int(text.vocab_size),
        context_length=getattr(text, "max_position_embeddings", None),
        versions=_versions(),
        non_finite=broken,
        weights_digest=digest,
        scoring_path=scorer.path,
        pass_tokens=scorer.room.pass_tokens,
        cache_tokens=scorer.room.cache_tokens,
        memory_budget=scorer.room.budget,
        load_s=load_s,
        notes=tuple(notes),
    )


def _linear_modules(core: Any) -> dict[str, Any]:
    """Linear layers by name, quantized or not, without the output layer, adapters' own and their wrappers."""
    head = core.get_output_embeddings()
    found = {}
    for name, module in core.named_modules():
        wrapper = hasattr(module, "base_layer")  # PEFT's, which is named like the layer it wraps
        if _is_linear(module) and not wrapper and module is not head and "lora_" not in name:
            found[name] = module
    return found


def _is_linear(module: Any) -> bool:
    """A linear layer of torch, of GPT-2, or a library's own that knows its sizes and holds packed weights."""
    import torch

    if isinstance(module, torch.nn.Linear):
        return True
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
        return True
    return _shape(module) is not None and any(True for _ in _tensors(module))


def _shape(module: Any) -> tuple[int, int] | None:
    """(in, out) features under the names that libraries use."""
    for first, second in (("in_features", "out_features"), ("infeatures", "outfeatures")):
        into, out = getattr(module, first, None), getattr(module, second, None)
        if isinstance(into, int) and isinstance(out, int):
            return into, out
    meta = getattr(module, "meta", None)
    if isinstance(meta, dict) and "shape" in meta:  # HQQ
        out, into = meta["shape"]
        return int(into), int(out)
    return None


def _is_quantized(module: Any) -> bool:
    """No tensor of 16 or more float bits in it is as large as its weight: what it holds is packed."""
    size = _logical(module)
    wide = [each.numel() for each in _tensors(module) if each.is_floating_point() and each.element_size() >= 2]
    return max(wide, default=0) < size


def _coarser(modules: Sequence[Any]) -> list[str]:
    """A sentence for each kind of packed module that computes in less than the float32 it is asked in."""
    notes = []
    for kind, module in {_kind(each): each for each in modules}.items():
        shape, shown = _shape(module), next(_tensors(module)).device
        device = shown if shown.type != "meta" else runs_on(module)
        inside = None if shape is None else rounds_to(module, shape[0], device)
        if inside is not None:
            notes.append(f"{kind} computes in {inside} on this processor, though it is given and gives float32")
    return notes


def _carries(module: Any) -> bool:
    """Its weights were quantized and decompressed again: they lie on the grid that the scales beside them span."""
    import torch

    weight, scale = getattr(module, "weight", None), getattr(module, "weight_scale", None)
    if weight is None or scale is None or getattr(module, "quantization_scheme", None) is None:
        return False
    scale = values_of(module, "weight_scale")
    first = values_of(module, "weight").detach()[:1].float()
    grid = first.reshape(-1, first.shape[1] // scale.shape[1]) / scale.detach()[:1].float().reshape(-1, 1)
    kind = module.quantization_scheme.weights
    if getattr(kind.type, "value", kind.type) == "float":
        grid = grid - grid.to(torch.float8_e4m3fn).float()
        return bool(grid.abs().max() < GRID)
    return bool((grid - grid.round()).abs().max() < GRID)


def _kind(module: Any) -> str:
    """The module's class, or its weight's where a tensor class carries the quantization."""
    weight = getattr(module, "weight", None)
    if type(module).__name__ == "Linear" and weight is not None and hasattr(weight.data, "__tensor_flatten__"):
        return type(weight.data).__name__
    return type(module).__name__


def _tensors(holder: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Every plain tensor a module owns itself: parameters, buffers, and the quantization state hung on either."""
    import torch

    seen = set() if seen is None else seen
    if id(holder) in seen:
        return
    seen.add(id(holder))
    if isinstance(holder, torch.Tensor):
        data = holder.data if isinstance(holder, torch.nn.Parameter) else holder
        if hasattr(data, "__tensor_flatten__"):  # torchao's and quanto's weights are wrappers around plain ones
            for name in data.__tensor_flatten__()[0]:
                yield from _tensors(getattr(data, name), seen)
            return
        yield holder
    if isinstance(holder, torch.nn.Module):
        meta: Any = getattr(holder, "meta", None)  # HQQ keeps scales in a dictionary
        own: list[Any] = [
            *holder._parameters.values(),
            *holder._buffers.values(),
            getattr(holder, "state", None),
            *(meta.values() if isinstance(meta, dict) else ()),
        ]
    else:
        own = list(getattr(holder, "__dict__", {}).values())
    for value in own:
        if isinstance(value, torch.Tensor) or type(value).__name__ in ("QuantState", "MatmulLtState"):
            yield from _tensors(value, seen)


def _held(module: Any) -> Iterator[Held]:
    """Every tensor of `_tensors`, and where its values are."""
    return held(module, _tensors(module))


def _storages(root: Any) -> dict[Hashable, tuple[str, int]]:
    """Place and bytes by storage over a whole model or one module, wherever they are kept."""
    found: dict[Hashable, tuple[str, int]] = {}
    for module in root.modules():
        for each in _held(module):
            if size := each.tensor.untyped_storage().nbytes():
                found[each.storage] = (each.place, size)
    return found


def _sizes(model: Any) -> dict[str, int]:
    """Bytes by place, the largest first."""
    sizes: Counter[str] = Counter()
    for place, size in _storages(model).values():
        sizes[place] += size
    return dict(sizes.most_common())


def _logical(module: Any) -> int:
    """Weights of a linear layer, unpacked."""
    shape = _shape(module)
    return shape[0] * shape[1] if shape is not None else int(module.weight.numel())


def _bits(linear: Mapping[str, Any]) -> float | None:
    """Resident bits over logical weights of the linear layers, biases and quantization state included."""
    weights = sum(_logical(module) for module in linear.values())
    if weights == 0:
        return None
    storages: dict[Hashable, tuple[str, int]] = {}
    for module in linear.values():
        storages.update(_storages(module))
    return 8 * sum(size for _, size in storages.values()) / weights


def _parameters(model: Any, quantized: Mapping[str, Any]) -> int:
    """Logical weights: packed layers count unpacked, tied weights once."""
    packed = {id(module) for module in quantized.values()}
    seen: set[Hashable] = set()
    total = sum(_logical(module) for module in quantized.values())
    for module in model.modules():
        if id(module) in packed:
            bias = getattr(module, "bias", None)
            total += bias.numel() if bias is not None and hasattr(bias, "numel") else 0
            continue
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            same = id(parameter) if parameter.device.type != "meta" else kept_at(module, name)
            total += 0 if same in seen else parameter.numel()
            seen.add(same)
    return total


def _inspect(model: Any) -> tuple[str, tuple[str, ...]]:
    """Digest over a fixed sample of every tensor, and the names of those that hold NaN or infinity."""
    import torch

    digest = hashlib.sha256()
    broken: list[str] = []
    for name, module in model.named_modules():
        for number, each in enumerate(_held(module)):
            tensor = each.values()
            flat = tensor.detach().reshape(-1)
            digest.update(f"{name}/{number}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
            if flat.numel():
                step = max(1, flat.numel() // SAMPLED)
                digest.update(_plain(flat[::step][:SAMPLED]).cpu().numpy().tobytes())
            if tensor.is_floating_point() and not all(
                bool(torch.isfinite(_plain(flat[start : start + BLOCK])).all())
                for start in range(0, flat.numel(), BLOCK)
            ):
                own = [name for name, value in module._parameters.items() if value is not None]
                broken.append(f"{name}.{own[0] if len(own) == 1 else number}".lstrip("."))
    return digest.hexdigest(), tuple(broken[:MOST_NAMES])


def _plain(values: Any) -> Any:
    """Floats of 8 bits in a type that torch can compute with; the rest as it is, 16-bit brain floats widened."""
    narrow = values.is_floating_point() and (values.element_size() == 1 or "bfloat16" in str(values.dtype))
    return values.float() if narrow else values


def _gguf_kinds(loaded: Loaded) -> dict[str, int]:
    """Quantized linear tensors of the .gguf file that was dequantised, by type; empty for none."""
    if loaded.gguf is None:
        return {}
    from harness.engines.gguf_header import linear_types

    return {kind: count for kind, count in linear_types(loaded.gguf).items() if kind not in ("F32", "F16", "BF16")}


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
