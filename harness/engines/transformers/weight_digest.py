"""One pass over every loaded value: a digest that is equal for equal models only, and what is not finite."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.engines.transformers.packed_weights import held_in
from harness.engines.transformers.placement import Held

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
