"""HQQ: half-quadratic quantization after loading, through the hqq library itself. Needs no calibration."""

from __future__ import annotations

from typing import Any

from harness.methods.base import Block, Method, Parameter, bits_key


def apply(model: Any, block: Block, device: str) -> Any:
    """Quantize every linear layer in place. transformers' own HqqConfig is not available in transformers 5."""
    from hqq.core.quantize import BaseQuantizeConfig
    from hqq.models.hf.base import AutoHQQHFModel

    made = BaseQuantizeConfig(nbits=block["bits"], group_size=block["group_size"], axis=block["axis"])
    AutoHQQHFModel.quantize_model(model, quant_config=made, compute_dtype=model.dtype, device=device)
    return model


METHOD = Method(
    name="hqq",
    description="1 to 8 bits without calibration, after loading",
    parameters=(
        Parameter(name="bits", choices=(1, 2, 3, 4, 8), required=True),
        Parameter(name="group_size", choices=(8, 16, 32, 64, 128, 256), default=64),
        Parameter(name="axis", choices=(0, 1), default=1, description="Which way groups run; fast kernels want 1."),
    ),
    bits=bits_key,
    packages=("hqq", "termcolor", "einops"),
    extra="hqq",
    apply=apply,
    kernels={"HQQLinear": "hqq, dequantised in every pass"},
    examples=({"bits": 4}, {"bits": 8}, {"bits": 3}, {"bits": 2}, {"bits": 1}),
)
