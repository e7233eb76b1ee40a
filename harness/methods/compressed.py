"""compressed-tensors: made by llm-compressor in its own environment; the layout vLLM serves."""

from __future__ import annotations

from harness.methods.base import Method, Parameter, Recipe, Tool

BITS = {"W8A8": 8.0, "FP8_DYNAMIC": 8.0, "W8A16": 8.0, "W4A16": 4.0}
DATA_FREE = ("FP8_DYNAMIC", "W8A16")


def by_llm_compressor(recipe: Recipe) -> None:
    import datasets
    import torch
    import transformers
    from llmcompressor import oneshot
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier

    scheme = str(recipe.block["scheme"])
    trust = recipe.trust_remote_code
    model = transformers.AutoModelForCausalLM.from_pretrained(
        recipe.source, dtype=torch.float32, trust_remote_code=trust
    )
    plain = scheme in DATA_FREE
    modifier = (QuantizationModifier if plain else GPTQModifier)(targets="Linear", scheme=scheme, ignore=["lm_head"])
    given = {}
    if not plain:
        rows = [{"input_ids": list(ids), "attention_mask": [1] * len(ids)} for ids in recipe.samples]
        given = {
            "dataset": datasets.Dataset.from_list(rows),
            "max_seq_length": recipe.length,
            "num_calibration_samples": len(rows),
            "shuffle_calibration_samples": False,
        }
    oneshot(model=model, recipe=modifier, trust_remote_code_model=trust, **given)
    model.save_pretrained(recipe.out, save_compressed=True)


METHOD = Method(
    name="compressed-tensors",
    description="llm-compressor's W8A8, FP8_DYNAMIC, W8A16 and W4A16 checkpoints",
    parameters=(Parameter(name="scheme", choices=tuple(BITS), required=True),),
    bits=lambda block: BITS[str(block["scheme"])],
    calibrates=lambda block: block["scheme"] not in DATA_FREE,
    packages=("compressed_tensors",),
    environment="llm-compressor",
    tools=(
        Tool(
            name="llm-compressor",
            environment="llm-compressor",
            packages=("llmcompressor",),
            make=by_llm_compressor,
        ),
    ),
    kernels={"CompressedLinear": "compressed-tensors"},
    examples=({"scheme": "W8A8"}, {"scheme": "FP8_DYNAMIC"}, {"scheme": "W8A16"}, {"scheme": "W4A16"}),
)
