"""Describes a variant for tables and reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.notation import byte_size, duration
from harness.suite.variant_model import Variant


def quantization_words(variant: Variant) -> str:
    """`bitsandbytes 4-bit nf4 double quant`, `bfloat16`, or `as stored`."""
    if variant.quantize is None:
        return variant.dtype or ("served" if variant.engine_row.model == "address" else "as stored")
    words = [variant.quantize.method]
    for name, value in variant.quantize.block().items():
        if name == "bits":
            words.append(f"{value}-bit")
        elif isinstance(value, bool):
            words.extend([name.replace("_", " ")] if value else [])
        elif name != "method":
            words.append(str(value) if isinstance(value, str) else f"{name.replace('_', ' ')} {value}")
    return " ".join(words)


def made_words(card: Mapping[str, Any]) -> str:
    """How a checkpoint was made: tool and versions, calibration data, time and memory."""
    versions = ", ".join(f"{name} {value}" for name, value in sorted(card["versions"].items()))
    told = [
        f"by {card['tool']} in {duration(card['seconds'])}, peak memory {byte_size(card['peak_bytes'])} ({versions})"
    ]
    if (data := card["calibration"]) is not None:
        told.append(
            f"calibrated on {data['samples']} samples of {data['length']} tokens of {data['data']}, "
            f"seed {data['seed']}, SHA-256 {data['sha256'][:16]}"
        )
    return "; ".join(told)
