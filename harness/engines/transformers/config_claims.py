"""What a checkpoint's own quantization_config says: bits per weight, and what it leaves in full precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

FIXED = {"fp8": 8.0, "fbgemm_fp8": 8.0, "mxfp4": 4.0, "bitnet": 2.0, "eetq": 8.0}
"""Methods of one width."""
BITS = ("bits", "w_bit", "nbits", "num_bits")


def claimed_by_config(config: object) -> float | None:
    """The widest of its weights; None for no configuration, and for one that does not say."""
    found = described(config)
    if found.get("load_in_4bit"):
        return 4.0
    if found.get("load_in_8bit"):
        return 8.0
    method = found.get("quant_method")
    if (fixed := FIXED.get(str(getattr(method, "value", method)))) is not None:
        return fixed
    return max(_bits(found, depth=4), default=None)


def _bits(found: Mapping[str, Any], *, depth: int) -> Iterator[float]:
    """Widths that it names for weights, at any depth; those of activations and caches are not asked."""
    for key, value in found.items():
        if key in BITS and isinstance(value, int | float) and 0 < value <= 16:
            yield float(value)
        inner = described(value)
        if inner and depth and not any(part in str(key) for part in ("activation", "kv_cache", "dynamic")):
            yield from _bits(inner, depth=depth - 1)


def described(value: object) -> Mapping[str, Any]:
    """A mapping, or a configuration object as one; empty for anything else."""
    if isinstance(value, Mapping):
        return value
    to_dict: Any = getattr(value, "to_dict", None)
    if callable(to_dict):
        return dict(to_dict())
    if value is not None and type(value).__name__.endswith(("Config", "Scheme", "Args")) and hasattr(value, "__dict__"):
        return vars(value)
    return {}
