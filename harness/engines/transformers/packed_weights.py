"""How much of a model is quantized: every matrix of it, by role, and whether what it holds is packed.

A model's parameters lie in linear layers, in the fused experts of a mixture (three-dimensional parameters, which most
methods pass over), in embeddings, in the output layer and in small vectors. A share of the linear layers alone tells
little of a mixture, so all of them are looked at.

The same pass over every loaded value gives a digest that is equal for equal models only, and what is not finite.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from harness.engines.transformers.placement import Held, held, kept_at, values_of
from harness.engines.transformers.safetensors_files import described

GRID = 1e-2
"""How far decompressed weights may lie from their quantization grid, in steps of it."""
SKIPS = ("llm_int8_skip_modules", "modules_to_not_convert", "skip_modules", "ignore", "exclude_modules")
"""Keys of a quantization_config that name what is left in full precision."""
OBJECTS = ("QuantState", "MatmulLtState")
Role = Literal["linear", "experts", "embedding", "output"]
State = Literal["plain", "packed", "decompressed"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One matrix, or the fused matrices of all experts of a layer."""

    name: str
    role: Role
    module: Any
    parameter: str | None
    """Of experts: the parameter of the module that is meant."""
    state: State
    logical: int
    """Weights, unpacked."""
    kind: str
    """Class of the module, or of its weight where a tensor class carries the quantization."""

    @property
    def is_matrix(self) -> bool:
        """What a method quantizes when it is asked to quantize a model."""
        return self.role in ("linear", "experts")

    def tensors(self) -> Iterator[Any]:
        return tensors_of(self.module if self.parameter is None else getattr(self.module, self.parameter))


def parts_of(core: Any, in_file: Mapping[str, str]) -> tuple[Part, ...]:
    """Every matrix of a model without adapters' own. `in_file`: what the checkpoint's files hold packed."""
    ends = {id(each): "embedding" for each in _modules(core.get_input_embeddings())}
    ends |= {id(each): "output" for each in _modules(core.get_output_embeddings())}
    packed_in_file = {_within_layers(name) for name in in_file}
    found = []
    for name, module in core.named_modules():
        if "lora_" in name or hasattr(module, "base_layer"):  # an adapter's own, and its wrapper around the layer
            continue
        role = ends.get(id(module), "embedding" if type(module).__name__.endswith("Embedding") else "linear")
        if _is_linear(module) or (role == "embedding" and getattr(module, "weight", None) is not None):
            found.append(_part(name, role, module, None, packed_in_file))
            continue
        found += [_part(f"{name}.{each}", "experts", module, each, packed_in_file) for each in _fused(module)]
    return tuple(found)


def _part(name: str, role: Any, module: Any, parameter: str | None, packed_in_file: set[str]) -> Part:
    value = module if parameter is None else getattr(module, parameter)
    logical = logical_size(module) if parameter is None else int(value.numel())
    state: State = "plain"
    if _holds_less(value, logical):
        state = "packed"
    elif _within_layers(name) in packed_in_file or (parameter is None and _carries(module)):
        state = "decompressed"
    kind = _kind(module) if parameter is None else f"fused experts ({type(value.data).__name__})"
    return Part(name=name, role=role, module=module, parameter=parameter, state=state, logical=logical, kind=kind)


def _modules(root: Any) -> Iterable[Any]:
    return () if root is None else root.modules()


def _within_layers(name: str) -> str:
    """A name from its layer on, without an adapter's wrapper: libraries put different things before it."""
    plain = name.replace(".base_layer", "")
    return plain[plain.find("layers.") :] if "layers." in plain else plain


def _is_linear(module: Any) -> bool:
    """A linear layer of torch, of GPT-2, or a library's own that knows its sizes and holds packed weights."""
    import torch

    if isinstance(module, torch.nn.Linear):
        return True
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
        return True
    return shape_of(module) is not None and any(True for _ in tensors_of(module))


def _fused(module: Any) -> list[str]:
    """Parameters of a module that stack the matrices of several experts, or of several layers."""
    import torch

    if isinstance(module, torch.nn.modules.conv._ConvNd):
        return []
    return [
        name
        for name, value in module._parameters.items()
        if value is not None and value.ndim == 3 and min(value.shape) > 1
    ]


def shape_of(module: Any) -> tuple[int, int] | None:
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


def logical_size(module: Any) -> int:
    """Weights of a linear layer or of embeddings, unpacked."""
    shape = shape_of(module)
    if shape is None and isinstance(getattr(module, "num_embeddings", None), int):
        shape = (module.num_embeddings, module.embedding_dim)
    return shape[0] * shape[1] if shape is not None else int(module.weight.numel())


def _holds_less(value: Any, logical: int) -> bool:
    """No tensor of 16 or more float bits in it is as large as its weight: what it holds is packed."""
    wide = [each.numel() for each in tensors_of(value) if each.is_floating_point() and each.element_size() >= 2]
    return max(wide, default=0) < logical


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


def tensors_of(holder: Any, seen: set[int] | None = None) -> Iterator[Any]:
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
                yield from tensors_of(getattr(data, name), seen)
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
        if isinstance(value, torch.Tensor) or type(value).__name__ in OBJECTS:
            yield from tensors_of(value, seen)


def held_in(module: Any) -> Iterator[Held]:
    """Every tensor of `tensors_of` a module, and where its values are."""
    return held(module, tensors_of(module))


def storages(root: Any) -> dict[Hashable, tuple[str, int]]:
    """Place and bytes by storage over a whole model or one module, wherever they are kept."""
    return {key: found for module in root.modules() for key, found in _bytes(held_in(module))}


def _bytes(tensors: Iterable[Held]) -> Iterator[tuple[Hashable, tuple[str, int]]]:
    for each in tensors:
        if size := each.tensor.untyped_storage().nbytes():
            yield each.storage, (each.place, size)


def sizes(model: Any) -> dict[str, int]:
    """Bytes by place, the largest first."""
    found: Counter[str] = Counter()
    for place, size in storages(model).values():
        found[place] += size
    return dict(found.most_common())


def bits_a_weight(parts: Sequence[Part]) -> float | None:
    """Resident bits over logical weights, biases and quantization state included; None for no weights."""
    weights = sum(each.logical for each in parts)
    if weights == 0:
        return None
    found: dict[Hashable, tuple[str, int]] = {}
    for each in parts:
        found.update(storages(each.module) if each.parameter is None else _bytes(held(each.module, each.tensors())))
    return 8 * sum(size for _, size in found.values()) / weights


def parameters(model: Any, parts: Sequence[Part]) -> int:
    """Logical weights: packed ones count unpacked, tied weights once."""
    packed = [each for each in parts if each.state == "packed"]
    whole = {id(each.module) for each in packed if each.parameter is None}
    fused = {id(getattr(each.module, each.parameter)) for each in packed if each.parameter is not None}
    seen: set[Hashable] = set()
    total = sum(each.logical for each in packed)
    for module in model.modules():
        if id(module) in whole:
            bias = getattr(module, "bias", None)
            total += bias.numel() if bias is not None and hasattr(bias, "numel") else 0
            continue
        for name, parameter in module._parameters.items():
            if parameter is None or id(parameter) in fused:
                continue
            same = id(parameter) if parameter.device.type != "meta" else kept_at(module, name)
            total += 0 if same in seen else parameter.numel()
            seen.add(same)
    return total


def left_plain(parts: Sequence[Part], config: object) -> int:
    """Logical weights of matrices that are in full precision because the quantization's configuration names them."""
    found = described(config)
    names = [str(name) for key in SKIPS for name in (found.get(key) or ())]
    plain = [each for each in parts if each.is_matrix and each.state == "plain"]
    return sum(each.logical for each in plain if any(_named(each.name, name) for name in names))


def _named(name: str, pattern: str) -> bool:
    """As transformers (a name, its prefix or its suffix) and compressed-tensors (`re:` and a regular expression)."""
    plain = name.replace(".base_layer", "")
    if pattern.startswith("re:"):
        return re.match(pattern[3:], plain) is not None
    return plain == pattern or plain.startswith(f"{pattern}.") or plain.endswith(pattern) or f".{pattern}." in plain


MOST_NAMES = 20
BLOCK = 1 << 24
"""Values looked at at once."""
THREADS = 8
"""Tensors that are hashed at once at most: hashlib lets other threads run meanwhile."""


def inspect(model: Any) -> tuple[str, tuple[str, ...]]:
    """SHA-256 over all values of all tensors, and the names of those that hold NaN or infinity (the first 20).

    Every value is hashed, not a sample: two models that differ in the rows of one new token have two digests.
    """
    tensors = [
        (name, number, each) for name, module in model.named_modules() for number, each in enumerate(held_in(module))
    ]
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        found = list(pool.map(lambda entry: _looked_at(*entry), tensors))
    digest = hashlib.sha256()
    for one, _ in found:
        digest.update(one)
    broken = [name for _, name in found if name is not None]
    return digest.hexdigest(), tuple(broken[:MOST_NAMES])


def _looked_at(name: str, number: int, each: Held) -> tuple[bytes, str | None]:
    """The digest of one tensor, and its name where a value is not finite."""
    import torch

    tensor = each.values().detach()
    flat = tensor.reshape(-1)
    digest = hashlib.sha256(f"{name}/{number}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
    finite = True
    for start in range(0, flat.numel(), BLOCK):
        part = flat[start : start + BLOCK].contiguous()
        if tensor.is_floating_point():
            finite = finite and bool(torch.isfinite(_plain(part)).all())
        digest.update(memoryview(part.cpu().view(torch.uint8).numpy()))
    if finite:
        return digest.digest(), None
    own = [key for key, value in each.module._parameters.items() if value is not None]
    return digest.digest(), f"{name}.{own[0] if len(own) == 1 else number}".lstrip(".")


def _plain(values: Any) -> Any:
    """Floats of 8 bits in a type that torch can compute with; the rest as it is, 16-bit brain floats widened."""
    narrow = values.is_floating_point() and (values.element_size() == 1 or "bfloat16" in str(values.dtype))
    return values.float() if narrow else values
