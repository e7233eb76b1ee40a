"""Which of transformers' classes can answer text tasks for a checkpoint; the others are refused in one sentence."""

from __future__ import annotations

from typing import Any

from harness.errors import EngineError

CAUSAL = "AutoModelForCausalLM"
WITH_IMAGES = "AutoModelForImageTextToText"


def model_class(path: str, keywords: dict[str, Any]) -> Any:
    """The auto class that loads it: a causal language model, or one with images that is asked text alone.

    `keywords`: of `from_pretrained`. Raises `EngineError` for encoder-decoders and for what is no language model.
    """
    import transformers

    if keywords.get("gguf_file") is not None:
        return transformers.AutoModelForCausalLM
    config = transformers.AutoConfig.from_pretrained(
        path, revision=keywords.get("revision"), trust_remote_code=keywords.get("trust_remote_code", False)
    )
    kind = str(config.model_type)
    if getattr(config, "is_encoder_decoder", False):
        raise EngineError(
            f"{path}: {kind} is an encoder-decoder, which reads a prompt whole and answers elsewhere; quantgate "
            "compares causal language models, which go on from a prompt"
        )
    remote = getattr(config, "auto_map", None) or {}
    for name in (CAUSAL, WITH_IMAGES):
        found: Any = getattr(transformers, name, None)
        if found is not None and (type(config) in found._model_mapping or name in remote):
            return found
    raise EngineError(
        f"{path}: {kind} is not a causal language model: transformers has no {CAUSAL} and no {WITH_IMAGES} for it"
    )
