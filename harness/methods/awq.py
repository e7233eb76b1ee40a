"""AWQ: made by auto-round, or by autoawq in its own environment; loaded through transformers and gptqmodel."""

from __future__ import annotations

from typing import Any

from harness.methods.base import Method, Parameter, Recipe, Tool, bits_key
from harness.methods.rounding import auto_round


def by_auto_round(recipe: Recipe) -> None:
    auto_round(recipe, "auto_awq")


def by_autoawq(recipe: Recipe) -> None:
    """AWQ's own library. It asks for text, so it is given tokens through a tokenizer that returns them.

    On a processor it searches in float32, where float16 takes twice as long or more; the checkpoint is float16's.

    autoawq 0.2.9 goes back to the weights it started from after every scale it tries, and keeps them by `.cpu()`, which
    copies from a GPU only: on a processor it went back to weights that all scales before had changed. They are copied.
    """
    import torch
    from awq import AutoAWQForCausalLM
    from awq.quantize import quantizer

    search = quantizer.AwqQuantizer._compute_best_scale

    def with_copies(own: Any, x: Any, w_mean: Any, x_mean: Any, module: Any, *rest: Any) -> Any:
        state = module.state_dict
        module.state_dict = lambda: {name: value.clone() for name, value in state().items()}
        try:
            return search(own, x, w_mean, x_mean, module, *rest)
        finally:
            del module.state_dict

    def samples(*_: object, **__: object) -> list[object]:
        return [torch.tensor([list(ids)]) for ids in recipe.samples]

    quantizer.get_calib_dataset = samples
    quantizer.AwqQuantizer._compute_best_scale = with_copies
    model = AutoAWQForCausalLM.from_pretrained(
        recipe.source,
        trust_remote_code=recipe.trust_remote_code,  # True unless told otherwise
        device_map=recipe.device,
        safetensors=True,
        torch_dtype=torch.float32 if recipe.device == "cpu" else torch.float16,
    )
    block = recipe.block
    config = {
        "w_bit": 4,
        "q_group_size": block["group_size"],
        "zero_point": block.get("zero_point") is not False,
        "version": "GEMM",
    }
    model.quantize(None, quant_config=config, n_parallel_calib_samples=8)
    model.model.to(torch.float16)
    model.model.config.torch_dtype = torch.float16
    model.save_quantized(recipe.out)


METHOD = Method(
    name="awq",
    description="AWQ checkpoints, 4 bits, GEMM layout",
    parameters=(
        Parameter(name="bits", choices=(4,), default=4),
        Parameter(name="group_size", choices=(32, 64, 128), default=128),
        Parameter(name="zero_point", kind=bool, default=True, description="Asymmetric, with a zero point a group."),
        Parameter(name="tool", choices=("auto-round", "autoawq"), description="auto-round when left out."),
        Parameter(name="iters", low=0, high=1000, description="auto-round only: tuning steps; 0 rounds to nearest."),
    ),
    bits=bits_key,
    packages=("gptqmodel", "optimum"),
    other_readers=("awq",),
    environment="gptqmodel",
    tools=(
        Tool(name="auto-round", environment="gptqmodel", packages=("auto_round",), make=by_auto_round),
        Tool(name="autoawq", environment="autoawq", packages=("awq",), make=by_autoawq),
    ),
    kernels={"AwqTorchLinear": "gptqmodel AWQ torch", "AwqGEMMLinear": "gptqmodel AWQ GEMM"},
    examples=({"group_size": 32}, {"group_size": 32, "tool": "autoawq"}),
)
