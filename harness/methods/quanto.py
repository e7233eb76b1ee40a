"""optimum-quanto: int8, int4, int2 and float8 weights while loading, through transformers."""

from __future__ import annotations

from typing import Any

from harness.methods.base import Block, Method, Parameter

BITS = {"int8": 8.0, "int4": 4.0, "int2": 2.0, "float8": 8.0}


def config(block: Block) -> Any:
    import transformers

    return transformers.QuantoConfig(weights=str(block["weights"]))


METHOD = Method(
    name="quanto",
    description="int8, int4, int2 and float8 weights, while loading",
    parameters=(Parameter(name="weights", choices=tuple(BITS), required=True),),
    bits=lambda block: BITS[str(block["weights"])],
    packages=("optimum.quanto", "accelerate"),
    extra="quanto",
    config=config,
    kernels={"QLinear": "optimum-quanto"},
    examples=tuple({"weights": name} for name in BITS),
)
