"""Tiny random models of several families, and a plain loop to hold scores against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.engines.protocol import LoadSpec

VOCABULARY = 200
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
Build = Callable[..., Path]
Make = Callable[..., Path]
Spec = Callable[..., LoadSpec]


def tiny_config(family: str, **changes: Any) -> Any:
    """A configuration of two narrow layers. `changes` go into it."""
    import transformers

    common: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    short = {name: common[name] for name in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    match family:
        case "llama":
            return transformers.LlamaConfig(**{**common, **changes})
        case "mistral":
            return transformers.MistralConfig(**{**common, "sliding_window": 12, **changes})
        case "gemma2":
            return transformers.Gemma2Config(
                **{**common, "head_dim": 16, "sliding_window": 12, "final_logit_softcapping": 3.0, **changes}
            )
        case "cohere":
            return transformers.CohereConfig(**{**common, "logit_scale": 0.25, **changes})
        case "granite":
            return transformers.GraniteConfig(**{**common, "logits_scaling": 4.0, **changes})
        case "gpt2":
            gpt2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}
            return transformers.GPT2Config(**{**short, **gpt2, **changes})
        case "bloom":
            return transformers.BloomConfig(**{**short, "hidden_size": 64, "n_layer": 2, "n_head": 4, **changes})
        case "mamba":
            mamba = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}
            return transformers.MambaConfig(**{**short, **mamba, **changes})
    return _limited_config(family, common, short, changes)


def _limited_config(family: str, common: dict[str, Any], short: dict[str, Any], changes: dict[str, Any]) -> Any:
    """Families whose scores go by how long a row is."""
    import transformers

    match family:
        case "gptneo":
            neo = {"hidden_size": 64, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]}
            return transformers.GPTNeoConfig(
                **{**short, **neo, "window_size": 16, "max_position_embeddings": 256, **changes}
            )
        case "gptoss":
            few = {"head_dim": 16, "sliding_window": 16, "num_local_experts": 2, "num_experts_per_tok": 1}
            return transformers.GptOssConfig(**{**common, **few, "rope_parameters": ROPE, **changes})
        case "longrope":
            factors = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8, "factor": 8.0}
            rope = {**ROPE, "rope_type": "longrope", "original_max_position_embeddings": 32, **factors}
            return transformers.Phi3Config(
                **{**common, "original_max_position_embeddings": 32, "rope_parameters": rope, **changes}
            )
        case "dynamic":
            rope = {**ROPE, "rope_type": "dynamic", "factor": 8.0}
            return transformers.LlamaConfig(
                **{**common, "max_position_embeddings": 32, "rope_parameters": rope, **changes}
            )
    raise ValueError(family)


def save_tokenizer(folder: Path) -> None:
    """Words w3 … w199 and three special tokens; every id is one word."""
    import tokenizers
    import transformers

    words = {"<pad>": 0, "<s>": 1, "</s>": 2, **{f"w{number}": number for number in range(3, VOCABULARY)}}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<pad>"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(folder)


def plain_model(folder: Path, **keywords: Any) -> Any:
    """The model as transformers alone loads it."""
    import torch
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder, **{"dtype": torch.float32, **keywords}).eval()


def plain_log_probs(model: Any, context: Sequence[int], continuation: Sequence[int]) -> tuple[list[float], bool]:
    """One sequence, one forward pass, no padding, no cache: what the scores have to equal.

    As in lm-eval the last token is predicted and not read, which matters where frequencies go by a text's length.
    """
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[*context, *continuation[:-1]]]), use_cache=False).logits[0].float()
    rows = torch.log_softmax(logits[len(context) - 1 :], -1)
    wanted = torch.tensor(list(continuation))
    return rows.gather(-1, wanted[:, None])[:, 0].tolist(), bool((rows.argmax(-1) == wanted).all())
