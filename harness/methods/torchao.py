"""torchao: int8, float8 and 4-bit weights while loading, through transformers."""

from __future__ import annotations

from typing import Any

from harness.methods.base import Block, Method, Parameter, dtype_of

TYPES = ("int8_weight_only", "int8_dynamic", "float8_weight_only", "float8_dynamic", "8da4w", "int4_weight_only")
GROUPED = ("8da4w", "int4_weight_only")


def rules(block: Block) -> str | None:
    if block.get("group_size") is not None and block["type"] not in GROUPED:
        return f"group_size belongs to {' and '.join(GROUPED)}"
    return None


def not_here(block: Block, cuda: bool) -> str | None:
    if block["type"] in ("int4_weight_only", "float8_dynamic") and not cuda:
        return f"torchao's {block['type']} has kernels for CUDA only"
    return None


def config(block: Block) -> Any:
    import transformers
    from torchao import quantization

    kind, group = block["type"], block.get("group_size")
    made: Any
    if kind == "8da4w":
        from torchao.quantization.granularity import PerGroup

        made = quantization.Int8DynamicActivationIntxWeightConfig(
            weight_dtype=dtype_of("int4"), weight_granularity=PerGroup(32 if group is None else int(group))
        )
    elif kind == "int4_weight_only":
        made = quantization.Int4WeightOnlyConfig(group_size=128 if group is None else int(group))
    else:
        made = {
            "int8_weight_only": quantization.Int8WeightOnlyConfig,
            "int8_dynamic": quantization.Int8DynamicActivationInt8WeightConfig,
            "float8_weight_only": quantization.Float8WeightOnlyConfig,
            "float8_dynamic": quantization.Float8DynamicActivationFloat8WeightConfig,
        }[str(kind)]()
    return transformers.TorchAoConfig(made)


METHOD = Method(
    name="torchao",
    description="int8, float8 and 4-bit weights, while loading",
    parameters=(
        Parameter(name="type", choices=TYPES, required=True),
        Parameter(name="group_size", choices=(32, 64, 128, 256), description="4-bit types only."),
    ),
    # 8da4w computes with 4-bit values that torchao keeps in bytes on a CPU: the claim is what is resident.
    bits=lambda block: 4.0 if block["type"] == "int4_weight_only" else 8.0,
    rules=rules,
    not_here=not_here,
    packages=("torchao", "accelerate"),
    extra="torchao",
    config=config,
    kernels={
        "Int8Tensor": "torchao int8",
        "Float8Tensor": "torchao float8",
        "IntxUnpackedToInt8Tensor": "torchao 4-bit values kept in bytes",
        "Int4Tensor": "torchao int4",
    },
    examples=(
        {"type": "int8_weight_only"},
        {"type": "int8_dynamic"},
        {"type": "float8_weight_only"},
        {"type": "8da4w"},
        {"type": "int4_weight_only"},
    ),
)
