"""Which number format a library's layer really multiplies in."""

from __future__ import annotations

from typing import Any


def rounds_to(layer: Any, width: int, device: Any) -> str | None:
    """`bfloat16` or `float16` where every product of a layer that is asked in float32 comes as such a number.

    bitsandbytes, for one, multiplies in bfloat16 on processors that have it, whatever its compute type says. `width`:
    features that go in. None for a layer that keeps float32, answers in another format, or cannot be asked alone.
    """
    import torch

    values = torch.randn(2, width, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        with torch.no_grad():
            product = layer(values)
    except Exception:  # noqa: BLE001  # a layer that cannot be asked alone tells nothing; scoring asks the whole model
        return None
    if product.dtype != torch.float32 or not torch.isfinite(product).all() or not product.any():
        return None
    for coarse in (torch.bfloat16, torch.float16):
        if torch.equal(product, product.to(coarse).float()):
            return str(coarse).removeprefix("torch.")
    return None
