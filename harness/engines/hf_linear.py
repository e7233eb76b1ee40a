"""float32 matrix products by oneDNN while a model is scored on a processor where MKL's are slower.

MKL, which torch takes for float32, keeps its fastest kernels for Intel's processors; see benchmarks/NOTES.md for what
was measured on another. The values are the same but for rounding, the weights are used where they lie, and timings of
a variant run without this: they measure what the variant's own libraries do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

ROWS = 2
"""A single row goes to MKL, which is as fast there."""
TRIAL_ROWS = 64
AGREES = 1e-5
"""Largest difference between both, relative to the largest value, on the trial."""
SLOW_WITH_MKL = frozenset({"AuthenticAMD", "HygonGenuine"})
"""Vendors, as /proc/cpuinfo has them."""


def linear(values: Any, weight: Any, bias: Any) -> Any:
    """`torch.nn.functional.linear` without gradients. `values`: [..., in]; `weight`: [out, in]; `bias`: [out], None."""
    import torch

    if _suits(values, weight):
        return torch.ops.mkldnn._linear_pointwise(values, weight, bias, "none", [], "")
    return torch.nn.functional.linear(values, weight, bias)


@contextmanager
def faster_products(model: Any) -> Iterator[None]:
    """Within the block, plain float32 linear layers on the processor compute by `linear`."""
    layers = plain_layers(model) if usable() else []
    for layer in layers:
        layer.forward = partial(_forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


@cache
def usable() -> bool:
    """Whether oneDNN is there, agrees with MKL on a trial, and the processor is one of those it is faster on."""
    import torch

    if not torch.backends.mkldnn.is_available() or _vendor() not in SLOW_WITH_MKL:
        return False
    source = torch.Generator().manual_seed(0)
    values, weight = (torch.randn(size, 96, generator=source) for size in (TRIAL_ROWS, 80))
    expected = torch.nn.functional.linear(values, weight)
    try:
        found = torch.ops.mkldnn._linear_pointwise(values, weight, None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):  # no public operator: another torch may not have it
        return False
    return bool((found - expected).abs().max() <= AGREES * expected.abs().max())


def _forward(layer: Any, values: Any) -> Any:
    return linear(values, layer.weight, layer.bias)


def _suits(values: Any, weight: Any) -> bool:
    import torch

    return (
        usable()
        and values.device.type == weight.device.type == "cpu"
        and values.dtype == weight.dtype == torch.float32
        and values.numel() >= ROWS * values.shape[-1]
    )


def plain_layers(model: Any) -> list[Any]:
    """Linear layers that nothing has changed: no packed weights, no forward of accelerate's."""
    import torch

    return [
        layer
        for layer in model.modules()
        if type(layer) is torch.nn.Linear
        and type(layer.weight) is torch.nn.Parameter
        and layer.weight.dtype == torch.float32
        and layer.weight.device.type == "cpu"
        and "forward" not in vars(layer)
    ]


def _vendor() -> str | None:
    """The processor's maker, where the system says."""
    described = Path("/proc/cpuinfo")
    for line in described.read_text().splitlines() if described.exists() else ():
        if line.startswith("vendor_id"):
            return line.partition(":")[2].strip()
    return None
