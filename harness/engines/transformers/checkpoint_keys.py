"""Which names of a checkpoint and of a model did not meet, and what that means: what is left out is random or lost.

A weight that the file lacks would be random, one of another shape too; one that the model has no place for is lost.
Each is an error that names it, except what is tied to a weight that was loaded, computed where it is lacking, or known
to belong to another part than the language model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.engines.transformers.safetensors_files import Stored
from harness.errors import EngineError
from harness.methods.already_quantized import named_method

DERIVED = ("g_idx", "inv_freq")
"""Tensors that are computed where a checkpoint lacks them."""
APART = re.compile(
    r"^([a-z_]+\.)?(vision|visual|audio|image|speech|talker|token2wav|multi_?modal|mm_|projector|connector|modality)"
    r"|^([a-z_]+\.)?(mtp|nextn|eagle|medusa)"
    r"|^(v_head|value_head|score|classifier|qa_outputs|reward_head|pretrained_model\.v_head)\b"
    r"|(rotary_emb\.(inv_freq|cos_cached|sin_cached)|masked_bias|position_ids|g_idx|kv_cache_scale)$"
    r"|\.(k|v|kv|input|output|q|prob)_(scale|zero_point|proj\.(k|v)_scale)$"
)
"""Tensors that no layer of the language model misses: other towers, heads for other tasks, draft layers, buffers that
are computed, scales of activations that are not quantized here."""
MASK = re.compile(r"\.(attn|attention)\.bias$")
"""Causal masks, which older models of the GPT family were saved with."""
SHOWN = 3


def check_keys(path: str, model: Any, info: Mapping[str, Any], tensors: Sequence[Stored]) -> tuple[str, ...]:
    """Judge what `from_pretrained` reports. Returns notes; raises `EngineError` with the names.

    `tensors`: the headers of a local folder's files, empty where they cannot be read.
    """
    missing = [key for key in info.get("missing_keys", ()) if key.rpartition(".")[2] not in DERIVED]
    missing = sorted(set(missing) - tied_to_loaded(model, missing))
    mismatched = sorted((str(key), *map(tuple, shapes)) for key, *shapes in info.get("mismatched_keys", ()))
    unexpected = sorted(set(info.get("unexpected_keys", ())))
    lost = [key for key in unexpected if not _is_apart(key, tensors)]
    claim = _claim(path)
    if mismatched:
        name, *shapes = mismatched[0]
        how = f": {list(shapes[0])} in the file, {list(shapes[1])} by config.json" if len(shapes) == 2 else ""
        raise EngineError(f"{path}: {_weights(mismatched)} another shape than the model, such as {name}{how}{claim}")
    if missing:
        also = f"; the file has {shown(lost)} instead" if lost else ""
        raise EngineError(
            f"{path}: {len(missing)} weights are missing from the checkpoint, such as {shown(missing)}{also}{claim}"
            f"{_untied(model, missing)}"
        )
    if lost:
        raise EngineError(
            f"{path}: the model that config.json describes has no place for {len(lost)} tensors of the checkpoint, "
            f"such as {shown(lost)}, so it is not what was saved{claim}; correct config.json, or take them "
            "out of the file"
        )
    apart = [key for key in unexpected if key not in lost]
    notes = [f"not part of the language model and not loaded: {shown(apart)}"] if apart else []
    return (*notes, *_torn(model))


def shown(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def tied_to_loaded(model: Any, missing: Iterable[str]) -> set[str]:
    """Missing names whose bytes are those of a weight that was loaded, whatever a class or a config says of ties."""
    wanted = set(missing)
    if not wanted:
        return set()
    given: set[object] = set()
    asked: dict[str, object] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        same = _storage(parameter)
        if name in wanted:
            asked[name] = same
        else:
            given.add(same)
    return {name for name, same in asked.items() if same in given}


def _storage(parameter: Any) -> object:
    if parameter.device.type == "meta" or hasattr(parameter, "__tensor_flatten__"):
        return id(parameter)
    return (str(parameter.device), parameter.untyped_storage().data_ptr(), parameter.storage_offset())


def _is_apart(key: str, tensors: Sequence[Stored]) -> bool:
    """Whether no layer of the language model misses a tensor. A mask is known by its shape where that can be read."""
    if MASK.search(key):
        shape = next((each.shape for each in tensors if each.name == key), None)
        return shape is None or _is_nothing(key, tensors) or (len(shape) == 4 and shape[-1] == shape[-2])
    return APART.search(key) is not None or _is_nothing(key, tensors)


def _is_nothing(key: str, tensors: Sequence[Stored]) -> bool:
    """A bias of zeros, which GPTQ's older writers add to every layer."""
    if not key.endswith("bias"):
        return False
    found = next((each for each in tensors if each.name == key), None)
    if found is None:
        return False
    with found.file.open("rb") as stream:
        stream.seek(found.begin)
        return not any(stream.read(found.end - found.begin))


def _torn(model: Any) -> list[str]:
    """What the configuration ties and the file holds twice, not alike: engines differ in which one they take."""
    text = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    into, out = (
        getattr(each, "weight", None) for each in (model.get_input_embeddings(), model.get_output_embeddings())
    )
    if not getattr(text, "tie_word_embeddings", False) or into is None or out is None:
        return []
    if _storage(into) == _storage(out) or "meta" in (into.device.type, out.device.type) or into.shape != out.shape:
        return []
    if into.dtype != out.dtype or bool((into.detach() == out.detach().to(into.device)).all()):
        return []
    return [
        "config.json ties the output layer to the embeddings, and the checkpoint holds two that differ; both were "
        "loaded as they are, which other engines may not do"
    ]


def _claim(path: str) -> str:
    named = named_method(Path(path)) if Path(path).is_dir() else None
    return f"; its config.json claims {named}, its weights do not" if named else ""


def _weights(found: Sequence[object]) -> str:
    return f"{len(found)} weights of the checkpoint have" if len(found) != 1 else "one weight of the checkpoint has"


def _untied(model: Any, missing: Sequence[str]) -> str:
    """The way out where an output layer is missing that other models tie to their embeddings."""
    tied = getattr(model, "_tied_weights_keys", None) or ()
    text = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    if set(missing) & set(tied) and not getattr(text, "tie_word_embeddings", False):
        return "; tie_word_embeddings is false in config.json, so it is not taken from the embeddings"
    return ""
