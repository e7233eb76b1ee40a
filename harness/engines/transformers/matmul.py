"""Matrix products that a processor computes faster in another way, while a model is scored on it.

float32 by oneDNN where MKL is slower: MKL, which torch takes, keeps its fastest kernels for Intel's processors.
float16 and bfloat16 in float32 where the processor has no instructions for them: torch then multiplies number by
number. Sums are in float32 either way and rounded once at their end, so the values are the same but for the order of
the sums; see benchmarks/NOTES.md for what was measured. Timings of a variant run without this: they measure what the
variant's own libraries do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import MethodType
from typing import Any

ROWS = 2
"""A single row goes to MKL, which is as fast there."""
WIDE_ROWS = 16
"""Rows of a 16-bit product from which on making the weights float32 pays."""
WIDE_VALUES = 1 << 20
"""Weights that are made float32 at once: 4 MiB stay in the processor's cache."""
TRIAL_ROWS = 64
AGREES = 1e-5
"""Largest difference between both, relative to the largest value, on the trial."""
ROUNDS = 4e-3
"""The same where the product is rounded to float16."""
SLOW_WITH_MKL = frozenset({"AuthenticAMD", "HygonGenuine"})
"""Vendors, as /proc/cpuinfo has them."""
ARITHMETIC = {
    "float16": frozenset({"avx512_fp16", "amx_fp16"}),
    "bfloat16": frozenset({"avx512_bf16", "amx_bf16"}),
}
"""Flags in /proc/cpuinfo of the x86 processors that multiply in a 16-bit format."""
CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Variables that forbid oneDNN, which multiplies for torch, newer instructions; the first one that is set counts."""
CAPPED = frozenset({"sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_core", "avx512_core_vnni"})
"""Their values under which there is no arithmetic in either format."""
CAPPED_FOR = {"float16": CAPPED | {"avx512_core_bf16"}, "bfloat16": CAPPED}
FOLLOWS = frozenset({"TorchLinear"})
"""Layers that unpack their weights into the format they are asked in: gptqmodel's plain kernel."""


@dataclass(frozen=True, kw_only=True)
class Processor:
    """What a processor says of itself, and what oneDNN may use of it."""

    vendor: str | None = None
    """Its maker, where the system says."""
    flags: frozenset[str] | None = None
    """Its instructions; None for one that is no x86 processor, and where the system does not say."""
    cap: str = ""
    """The newest instructions that oneDNN may use, as its variables have them; empty for all."""

    @classmethod
    def described(cls, cpuinfo: str, variables: Mapping[str, str]) -> Processor:
        """From the text of /proc/cpuinfo, whose first processor counts, and environment variables."""
        rows = (line.partition(":") for line in reversed(cpuinfo.splitlines()))
        found = {name.strip(): value.strip() for name, _, value in rows}
        return cls(
            vendor=found.get("vendor_id"),
            flags=frozenset(found["flags"].split()) if "flags" in found else None,
            cap=next((variables[key] for key in CAPS if key in variables), "").lower(),
        )

    def has_arithmetic(self, name: str) -> bool:
        """Whether it multiplies in float16 or bfloat16, and oneDNN may use that."""
        return self.cap not in CAPPED_FOR[name] and not ARITHMETIC[name].isdisjoint(self.flags or ())


@cache
def this_processor() -> Processor:
    file = Path("/proc/cpuinfo")
    return Processor.described(file.read_text() if file.exists() else "", os.environ)


def linear(values: Any, weight: Any, bias: Any, *, processor: Processor | None = None) -> Any:
    """`torch.nn.functional.linear` without gradients. `values`: [..., in]; `weight`: [out, in]; `bias`: [out], None.
    `processor`: None is this machine's."""
    import torch

    processor = processor or this_processor()
    if _both(torch.float32, values, weight) and values.numel() >= ROWS * values.shape[-1] and usable(processor):
        return torch.ops.mkldnn._linear_pointwise(values, weight, bias, "none", [], "")
    if _is_slow(values, weight, processor):
        return widened(values, weight, bias, processor=processor)
    return torch.nn.functional.linear(values, weight, bias)


@contextmanager
def faster_products(model: Any, processor: Processor | None = None) -> Iterator[None]:
    """Within the block, linear layers on the processor that have a faster way compute in it.

    A library that unpacks its weights at the first pass may put a forward of its own in place meanwhile: that stays.
    """
    forwards = _forwards(model, processor or this_processor())
    for layer, forward in forwards:
        layer.forward = forward
    try:
        yield
    finally:
        for layer, forward in forwards:
            if vars(layer).get("forward") is forward:
                del layer.forward


def products_notes(model: Any, processor: Processor | None = None) -> list[str]:
    """What differs between scoring and timing, for the facts."""
    import torch

    processor, notes = processor or this_processor(), []
    if usable(processor) and plain_layers(model, torch.float32):
        notes.append("float32 products: oneDNN while scoring, MKL while timing")
    for dtype in _widened_formats(processor):
        if plain_layers(model, dtype) or (dtype == torch.float16 and _following(model)):
            name = _name(dtype)
            notes.append(f"{name} products: in float32 and rounded while scoring, torch's {name} while timing")
    return notes


def _forwards(model: Any, processor: Processor) -> list[tuple[Any, Callable[[Any], Any]]]:
    """Every layer that has a faster way, and the way."""
    import torch

    found: list[tuple[Any, Callable[[Any], Any]]] = []
    forward = _forward(processor)
    formats = [*([torch.float32] if usable(processor) else []), *_widened_formats(processor)]
    for dtype in formats:
        found += [(layer, MethodType(forward, layer)) for layer in plain_layers(model, dtype)]
        if dtype == torch.float16:
            found += [(layer, partial(_asked_wide, layer.forward)) for layer in _following(model)]
    return found


def _widened_formats(processor: Processor) -> list[Any]:
    """The 16-bit formats that are multiplied in float32 here."""
    import torch

    return [getattr(torch, name) for name in ARITHMETIC if widens(name, processor)]


@cache
def usable(processor: Processor) -> bool:
    """Whether oneDNN is there, agrees with MKL on a trial, and the processor is one of those it is faster on."""
    import torch

    if not torch.backends.mkldnn.is_available() or processor.vendor not in SLOW_WITH_MKL:
        return False
    source = torch.Generator().manual_seed(0)
    values, weight = (torch.randn(size, 96, generator=source) for size in (TRIAL_ROWS, 80))
    expected = torch.nn.functional.linear(values, weight)
    try:
        found = torch.ops.mkldnn._linear_pointwise(values, weight, None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):  # no public operator: another torch may not have it
        return False
    return bool((found - expected).abs().max() <= AGREES * expected.abs().max())


@cache
def widens(name: str, processor: Processor) -> bool:
    """Whether numbers of a format are multiplied one by one here, and float32 agrees with that on a trial.

    `name`: float16 or bfloat16. So it is on an x86 processor without the instructions, or where oneDNN may not use
    them. ATEN_CPU_CAPABILITY alone changes no product: oneDNN does not ask for it.
    """
    import torch

    arithmetic = processor.has_arithmetic(name) and torch.backends.mkldnn.is_available()
    if processor.flags is None or arithmetic:
        return False
    source = torch.Generator().manual_seed(0)
    values, weight = (torch.randn(size, 96, generator=source).to(getattr(torch, name)) for size in (TRIAL_ROWS, 80))
    expected = torch.nn.functional.linear(values, weight).float()
    off = (widened(values, weight, None, processor=processor).float() - expected).abs().max()
    return bool(off <= torch.finfo(values.dtype).eps * expected.abs().max())


def _forward(processor: Processor) -> Callable[[Any, Any], Any]:
    """A layer's method; a plain function, as libraries that wrap a forward ask a method for its own."""

    def forward(layer: Any, values: Any) -> Any:
        return linear(values, layer.weight, layer.bias, processor=processor)

    return forward


def _asked_wide(forward: Callable[[Any], Any], values: Any) -> Any:
    """A layer's answer in float16, computed in float32."""
    import torch

    if values.dtype != torch.float16 or values.numel() < ROWS * values.shape[-1]:
        return forward(values)
    return forward(values.float()).to(values.dtype)


def widened(
    values: Any, weight: Any, bias: Any, *, processor: Processor | None = None, at_once: int = WIDE_VALUES
) -> Any:
    """A 16-bit product in float32, `at_once` weights at a time, and rounded."""
    import torch

    wide, blocks = values.float(), weight.split(max(1, at_once // weight.shape[1]))
    found = torch.cat([linear(wide, block.float(), None, processor=processor) for block in blocks], -1)
    return (found if bias is None else found + bias.float()).to(values.dtype)


def _is_slow(values: Any, weight: Any, processor: Processor) -> bool:
    name = _name(values.dtype)
    few = values.numel() < WIDE_ROWS * values.shape[-1]
    return name in ARITHMETIC and not few and _both(values.dtype, values, weight) and widens(name, processor)


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _both(dtype: Any, values: Any, weight: Any) -> bool:
    return bool(values.device.type == weight.device.type == "cpu" and values.dtype == weight.dtype == dtype)


def plain_layers(model: Any, dtype: Any) -> list[Any]:
    """Linear layers that nothing has changed: no packed weights, none still to come, no forward of accelerate's."""
    import torch

    return [
        layer
        for layer in model.modules()
        if type(layer) is torch.nn.Linear
        and type(getattr(layer, "weight", None)) is torch.nn.Parameter
        and layer.weight.dtype == dtype
        and layer.weight.device.type == "cpu"
        and "forward" not in vars(layer)
    ]


def _following(model: Any) -> list[Any]:
    """Packed layers of float16 models that compute in the format they are asked in, as the first one shows."""
    layers = [
        layer
        for layer in model.modules()
        if type(layer).__name__ in FOLLOWS and layer.qweight.device.type == "cpu" and "forward" not in vars(layer)
    ]
    return layers if layers and _follows(layers[0]) else []


def _follows(layer: Any) -> bool:
    """Whether a layer that is asked in float32 answers as in float16, but for rounding."""
    import torch

    values = torch.randn(ROWS, layer.in_features, generator=torch.Generator().manual_seed(0)).half()
    with torch.no_grad():
        expected, found = layer(values), layer(values.float())
    agrees = (found - expected.float()).abs().max() <= ROUNDS * expected.abs().max()
    return bool(expected.dtype == torch.float16 and found.dtype == torch.float32 and agrees)
