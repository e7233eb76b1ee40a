"""GPTQ: made by auto-round, gptqmodel or auto-gptq; loaded through transformers and gptqmodel."""

from __future__ import annotations

from harness.methods.base import Block, Method, Parameter, Recipe, Tool, bits_key
from harness.methods.rounding import auto_round


def rules(block: Block) -> str | None:
    tool = block.get("tool") or "auto-round"
    if tool == "auto-round":
        for name in ("desc_act", "damp_percent"):
            if block.get(name) not in (None, False):
                return f"{name} belongs to tool: gptqmodel or auto-gptq; auto-round rounds by another rule"
    elif block.get("iters") is not None:
        return "iters belongs to tool: auto-round"
    if block["bits"] == 8 and block.get("sym") is False:
        return "8 bits are symmetric in GPTQ checkpoints: leave sym out"
    return None


def by_auto_round(recipe: Recipe) -> None:
    auto_round(recipe, "auto_gptq")


def by_gptqmodel(recipe: Recipe) -> None:
    """GPTQ proper, with gptqmodel. On two cores it wants `GPTQMODEL_CPU_WORKERS` set, which its environment does.

    Its tokenizer library runs a tokenizer's own code unasked where it could not load it without: only if trusted here.
    """
    from gptqmodel import GPTQModel, QuantizeConfig
    from tokenicer import tokenicer

    if not recipe.trust_remote_code:
        tokenicer.custom_tokenizer_class_ref = lambda *_: None
        tokenicer.has_custom_tokenizer_code = lambda *_: False

    block = recipe.block
    config = QuantizeConfig(
        bits=block["bits"],
        group_size=block["group_size"],
        desc_act=bool(block.get("desc_act")),
        sym=block.get("sym") is not False,
        damp_percent=_damp(block, 0.05),
        device=recipe.device,
    )
    model = GPTQModel.load(recipe.source, config, trust_remote_code=recipe.trust_remote_code)
    samples = [{"input_ids": list(ids), "attention_mask": [1] * len(ids)} for ids in recipe.samples]
    model.quantize(samples, batch_size=1)
    model.save(recipe.out)


def _damp(block: Block, usual: float) -> float:
    asked = block.get("damp_percent")
    return usual if asked is None else float(asked)


def by_auto_gptq(recipe: Recipe) -> None:
    """GPTQ with auto-gptq 0.7.1, whose quantizer starts on CUDA only."""
    import torch
    from auto_gptq import AutoGPTQForCausalLM, BaseQuantizeConfig

    block = recipe.block
    config = BaseQuantizeConfig(
        bits=block["bits"],
        group_size=block["group_size"],
        desc_act=bool(block.get("desc_act")),
        sym=block.get("sym") is not False,
        damp_percent=_damp(block, 0.01),
    )
    model = AutoGPTQForCausalLM.from_pretrained(recipe.source, config, trust_remote_code=recipe.trust_remote_code)
    model.quantize(
        [{"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids))} for ids in recipe.samples]
    )
    model.save_quantized(recipe.out, use_safetensors=True)


def not_here(block: Block, cuda: bool) -> str | None:
    if block.get("tool") == "auto-gptq" and not cuda:
        return "auto-gptq makes checkpoints on CUDA only; it loads and evaluates them on a CPU"
    return None


METHOD = Method(
    name="gptq",
    description="GPTQ checkpoints, 2 to 8 bits",
    parameters=(
        Parameter(name="bits", choices=(2, 3, 4, 8), default=4),
        Parameter(name="group_size", choices=(32, 64, 128, -1), default=128, description="-1: one group a row."),
        Parameter(name="desc_act", kind=bool, description="Quantize columns by decreasing activation."),
        Parameter(name="sym", kind=bool, default=True, description="Symmetric around zero."),
        Parameter(
            name="damp_percent",
            kind=float,
            low=0,
            high=1,
            between=True,
            description="Added to the Hessian's diagonal, as a share of its mean, between 0 and 1. "
            "Left out: 0.05 with gptqmodel, 0.01 with auto-gptq.",
        ),
        Parameter(
            name="tool", choices=("auto-round", "gptqmodel", "auto-gptq"), description="auto-round when left out."
        ),
        Parameter(name="iters", low=0, high=1000, description="auto-round only: tuning steps; 0 rounds to nearest."),
    ),
    bits=bits_key,
    rules=rules,
    not_here=not_here,
    packages=("gptqmodel", "optimum"),
    other_readers=("auto_gptq",),
    environment="gptqmodel",
    tools=(
        Tool(name="auto-round", environment="gptqmodel", packages=("auto_round",), make=by_auto_round),
        Tool(name="gptqmodel", environment="gptqmodel", packages=("gptqmodel",), make=by_gptqmodel),
        Tool(name="auto-gptq", environment="auto-gptq", packages=("auto_gptq",), make=by_auto_gptq, needs_cuda=True),
    ),
    kernels={
        "TorchLinear": "gptqmodel torch",
        "TorchFusedLinear": "gptqmodel fused torch",
        "QuantLinear": "auto-gptq",
    },
    examples=(
        {"bits": 4, "group_size": 32},
        {"bits": 4, "group_size": 32, "tool": "gptqmodel"},
        {"bits": 4, "group_size": 64, "tool": "gptqmodel", "desc_act": True},
        {"bits": 8, "group_size": 32},
        {"bits": 3, "group_size": 32, "tool": "gptqmodel"},
        {"bits": 2, "group_size": 32},
        {"bits": 4, "group_size": -1},
    ),
)
