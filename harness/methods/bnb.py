"""bitsandbytes: LLM.int8, and 4 bits as nf4 or fp4. Quantizes while loading, on CPU and CUDA."""

from __future__ import annotations

import logging
from typing import Any

from harness.methods.base import Block, Method, Parameter, bits_key, dtype_of


def rules(block: Block) -> str | None:
    four = ("type", "double_quant", "compute_dtype")
    if block["bits"] == 8 and any(block.get(name) for name in four):
        return "type, double_quant and compute_dtype belong to bits: 4"
    if block["bits"] == 4 and block.get("threshold") is not None:
        return "threshold belongs to bits: 8"
    return None


def quiet() -> None:
    """LLM.int8 tells at every layer of every pass that it casts to float16. That is how the method works."""
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)


def config(block: Block) -> Any:
    import transformers

    if block["bits"] == 8:
        quiet()
        threshold = block.get("threshold")
        return transformers.BitsAndBytesConfig(
            load_in_8bit=True, llm_int8_threshold=6.0 if threshold is None else float(threshold)
        )
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=block.get("type") or "nf4",
        bnb_4bit_use_double_quant=bool(block.get("double_quant")),
        bnb_4bit_compute_dtype=dtype_of(block.get("compute_dtype")),
    )


METHOD = Method(
    name="bitsandbytes",
    description="LLM.int8 and 4-bit nf4 or fp4, while loading",
    parameters=(
        Parameter(name="bits", choices=(4, 8), required=True),
        Parameter(name="type", choices=("nf4", "fp4"), description="4-bit only; nf4 when left out."),
        Parameter(name="double_quant", kind=bool, default=False, description="4-bit only: quantize the scales too."),
        Parameter(name="compute_dtype", choices=("float32", "float16", "bfloat16"), description="4-bit only."),
        Parameter(name="threshold", kind=float, low=0, description="8-bit only: outlier threshold of LLM.int8, 6.0."),
    ),
    bits=bits_key,
    rules=rules,
    packages=("bitsandbytes", "accelerate"),
    extra="bitsandbytes",
    config=config,
    kernels={"Linear8bitLt": "bitsandbytes LLM.int8", "Linear4bit": "bitsandbytes 4-bit"},
    examples=(
        {"bits": 8},
        {"bits": 4, "type": "nf4"},
        {"bits": 4, "type": "nf4", "double_quant": True},
        {"bits": 4, "type": "fp4"},
        {"bits": 4, "type": "nf4", "compute_dtype": "bfloat16"},
    ),
)
