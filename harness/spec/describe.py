"""A variant in words, for tables and reports."""

from __future__ import annotations

from harness.spec.models import Variant


def quantization_words(variant: Variant) -> str:
    """`bitsandbytes 4-bit nf4, double quantization`, `bfloat16`, or `as stored`."""
    if variant.quantize is None:
        return variant.dtype or "as stored"
    words = f"{variant.quantize.method} {variant.quantize.bits}-bit"
    if variant.quantize.bits == 4:
        words += f" {variant.quantize.type or 'nf4'}"
    if variant.quantize.double_quant:
        words += ", double quantization"
    return words
