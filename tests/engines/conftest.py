"""Tiny random models of several families, built and saved here; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VOCABULARY = 120
Make = Callable[..., Path]


def save_tokenizer(folder: Path) -> None:
    """A word-level tokenizer: w3 … w119, with start, end and padding tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<s>": 0, "</s>": 1, "<pad>": 2, **{f"w{n}": n for n in range(3, VOCABULARY)}}
    plain = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.save_pretrained(folder)


def tiny_config(family: str) -> Any:
    import transformers

    small: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
    }
    grouped = {**small, "num_key_value_heads": 2}
    if family == "llama":
        return transformers.LlamaConfig(**grouped)
    if family == "mistral":
        return transformers.MistralConfig(**grouped, sliding_window=8)
    if family == "gemma2":
        return transformers.Gemma2Config(
            **grouped, head_dim=16, sliding_window=8, final_logit_softcapping=3.0, query_pre_attn_scalar=16
        )
    if family == "gpt2":
        return transformers.GPT2Config(
            vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4, n_positions=128, bos_token_id=0, eos_token_id=1
        )
    assert family == "mamba"
    return transformers.MambaConfig(
        vocab_size=VOCABULARY, hidden_size=64, state_size=8, num_hidden_layers=2, bos_token_id=0, eos_token_id=1
    )


@pytest.fixture
def make_model(tmp_path: Path) -> Make:
    """Saves a random model of a family as float32 safetensors; `change` may alter it first."""

    def make(family: str = "llama", change: Callable[[Any], None] | None = None, name: str = "model") -> Path:
        import torch
        import transformers

        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(tiny_config(family))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        if change is not None:
            change(model)
        folder = tmp_path / name
        model.save_pretrained(folder)
        save_tokenizer(folder)
        return folder

    return make
