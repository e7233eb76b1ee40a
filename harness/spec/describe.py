"""A variant in words, for tables and reports."""

from __future__ import annotations

from harness.spec.models import Variant


def quantization_words(variant: Variant) -> str:
    """`bitsandbytes 4-bit nf4 double quant`, `bfloat16`, or `as stored`."""
    if variant.quantize is None:
        return variant.dtype or ("served" if variant.runtime == "served" else "as stored")
    words = [variant.quantize.method]
    for name, value in variant.quantize.block().items():
        if name == "bits":
            words.append(f"{value}-bit")
        elif isinstance(value, bool):
            words.extend([name.replace("_", " ")] if value else [])
        elif name != "method":
            words.append(str(value) if isinstance(value, str) else f"{name.replace('_', ' ')} {value}")
    return " ".join(words)
