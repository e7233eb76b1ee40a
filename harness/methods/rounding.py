"""auto-round, which writes several formats: GPTQ's, AWQ's and its own."""

from __future__ import annotations

from harness.methods.base import Recipe


def auto_round(recipe: Recipe, layout: str) -> None:
    """Round with auto-round and write the checkpoint in `layout`. Given token tensors it asks no hub."""
    import torch
    import transformers
    from auto_round import AutoRound

    block = recipe.block
    model = transformers.AutoModelForCausalLM.from_pretrained(
        recipe.source, dtype=torch.float32, trust_remote_code=recipe.trust_remote_code
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(recipe.source, trust_remote_code=recipe.trust_remote_code)
    symmetric = block.get("sym") is not False if "sym" in block else block.get("zero_point") is False
    iters = block.get("iters")
    rounder = AutoRound(
        model,
        tokenizer,
        bits=block["bits"],
        group_size=block["group_size"],
        sym=symmetric,
        iters=0 if iters is None else iters,
        dataset=[torch.tensor([list(ids)]) for ids in recipe.samples],
        nsamples=len(recipe.samples),
        seqlen=recipe.length,
        seed=recipe.seed,
        device_map=recipe.device,
    )
    rounder.quantize_and_save(recipe.out, format=layout)
