"""FP8 while loading: transformers' block-wise float8, whose kernels are for CUDA."""

from __future__ import annotations

from typing import Any

from harness.methods.base import Block, Method


def config(block: Block) -> Any:
    import transformers

    del block
    return transformers.FineGrainedFP8Config()


METHOD = Method(
    name="fp8",
    description="block-wise float8 weights and activations, while loading; CUDA only",
    parameters=(),
    bits=lambda block: 8.0,
    not_here=lambda block, cuda: None if cuda else "block-wise float8 has kernels for CUDA only (8.9 and later)",
    packages=("accelerate",),
    config=config,
    kernels={"FP8Linear": "transformers block-wise float8"},
    examples=({},),
)
