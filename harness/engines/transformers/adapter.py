"""PEFT adapters: put on a base, resized as they need, and held to having been loaded whole.

peft warns, at most, of weights that found no place; an adapter that matched nothing is then the base itself. What it
reports is an error here, and so is an adapter that was made on a model which is here and is another.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.checkpoints.opened_files import ADAPTER, CONFIG, read_json, weight_files
from harness.checkpoints.resolve import Location, base_of
from harness.engines.transformers.checkpoint_keys import shown
from harness.engines.transformers.safetensors_files import Stored, stored_tensors
from harness.errors import EngineError

NAME = "default"
"""The name that peft gives the one adapter of a model."""
PREFIXES = ("PREFIX_TUNING", "CARTRIDGE")
"""Kinds that prompt with states instead of tokens: what comes out has a place for every token that went in."""
WRAPPED = re.compile(r"\.(modules_to_save|original_module|base_layer)(?=\.)")
"""Parts of names that only peft's wrappers have."""
BLOCK = 1 << 24
"""Bytes compared at once."""


def with_adapter(model: Any, adapter: Location, *, put_on: Location | None) -> tuple[Any, tuple[str, ...]]:
    """The model under its adapter, and notes. Raises `EngineError`.

    `put_on`: the base that somebody chose for it; None where the adapter's own word was followed.
    """
    try:
        import peft
    except ImportError as error:
        raise EngineError("peft is not installed: pip install 'quantgate[peft]'") from error
    notes = check_base(adapter, put_on) if put_on is not None else []
    notes += _resize(model, adapter.path, _weights(peft, adapter, model))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Found missing adapter keys")  # judged below, with all of them
        found = peft.PeftModel.from_pretrained(model, adapter.path, is_trainable=False, revision=adapter.revision)
    _check_loaded(peft, found, adapter)
    return found, tuple(notes)


def _weights(peft: Any, adapter: Location, model: Any) -> Mapping[str, Any]:
    """Its tensors by the names that the model's class expects."""
    renamed = getattr(model, "_checkpoint_conversion_mapping", None)
    keywords = {"revision": adapter.revision, **({"key_mapping": renamed} if renamed else {})}
    found: Mapping[str, Any] = peft.utils.load_peft_weights(adapter.path, device="cpu", **keywords)
    return found


def _resize(model: Any, adapter: str, weights: Mapping[str, Any]) -> list[str]:
    """Embeddings get as many rows as the adapter brings, as lm-eval does by the tokenizer's size."""
    into, out = model.get_input_embeddings(), model.get_output_embeddings()
    ends = {"input": _name_of(model, into), "output": _name_of(model, out)}
    rows = {
        end: int(tensor.shape[0])
        for end, name in ends.items()
        if name is not None
        for key, tensor in weights.items()
        if key.endswith(f"{name}.weight") and tensor.ndim == 2
    }
    now = int(into.weight.shape[0])
    wanted = set(rows.values()) - {now}
    if not wanted:
        return []
    if len(set(rows.values())) > 1:
        raise EngineError(f"{adapter}: brings {rows['input']} input and {rows['output']} output embeddings")
    tied = out is not None and out.weight.data_ptr() == into.weight.data_ptr()
    if len(rows) < 2 and not tied:
        lacking = "output" if "input" in rows else "input"
        raise EngineError(
            f"{adapter}: brings {wanted.pop()} {next(iter(rows))} embeddings and no {lacking} embeddings, the base has "
            f"{now} of each, so those of the added tokens would be made up; save both with the adapter"
        )
    size = wanted.pop()
    model.resize_token_embeddings(size, mean_resizing=False)
    return [f"embeddings resized from {now} to the adapter's {size} tokens"]


def _name_of(model: Any, module: Any) -> str | None:
    return next((name for name, each in model.named_modules() if each is module), None) if module is not None else None


def _check_loaded(peft: Any, model: Any, adapter: Location) -> None:
    """Every tensor of the adapter's file is in the model, and every one of its own in the model came from the file."""
    config = model.peft_config[NAME]
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if config.is_prompt_learning and kind not in PREFIXES:
        raise EngineError(
            f"{adapter.path}: {kind} puts {config.num_virtual_tokens} tokens of its own before every text, so that "
            "places in a text are none in its output; quantgate compares adapters that change weights, and prefixes"
        )
    if config.is_prompt_learning:
        return
    weights = dict(_weights(peft, adapter, model.get_base_model()))
    if not weights:
        raise EngineError(f"{adapter.path}: holds no weights")
    result = peft.set_peft_model_state_dict(model, weights, adapter_name=NAME)
    prefix = peft.utils.PEFT_TYPE_TO_PREFIX_MAPPING.get(config.peft_type, "") if _has_prefixes(peft) else "lora_"
    missing = sorted(key for key in result.missing_keys if prefix and prefix in key and f".{NAME}" in key)
    unexpected = sorted(key for key in result.unexpected_keys if not _is_copy(key, weights))
    if not missing and not unexpected:
        return
    own = sum(1 for name, _ in model.named_parameters() if prefix and prefix in name)
    lost = f"{len(unexpected)} of its {len(weights)} tensors have no place in the model ({shown(unexpected)})"
    lacks = f"{len(missing)} of {own} weights that it should bring are not in it ({shown(missing)})"
    nothing = "none of its weights were loaded; " if len(unexpected) >= len(weights) else ""
    said = [each for each, there in ((lost, unexpected), (lacks, missing)) if there]
    raise EngineError(
        f"{adapter.path}: {nothing}{'; '.join(said)}. It was made for a model whose layers have other "
        "names, or was saved in part"
    )


def _is_copy(key: str, weights: Mapping[str, Any]) -> bool:
    """peft saves resized embeddings twice, the second time under its wrapper's own names, which it does not read."""
    plain = WRAPPED.sub("", key)
    return plain != key and plain in weights


def _has_prefixes(peft: Any) -> bool:
    return hasattr(peft.utils, "PEFT_TYPE_TO_PREFIX_MAPPING")


def check_base(adapter: Location, put_on: Location) -> list[str]:
    """Hold the base that an adapter names against the one it is put on.

    Refused only where both are here, in one number format, and differ in a weight: any other way to store the same
    model, or a hub id that nobody can look up, is no proof and is noted.
    """
    if adapter.folder is None or not read_json(adapter.folder / ADAPTER).get("base_model_name_or_path"):
        return []
    named, here = base_of(adapter), put_on.folder
    if named.path == put_on.path or (named.folder is not None and here is not None and _same(named.folder, here)):
        return []
    if here is not None and (here / CONFIG).is_file() and read_json(here / CONFIG).get("_name_or_path") == named.path:
        return []
    if named.folder is None or not named.folder.is_dir() or here is None:
        return [f"the adapter names {named.path} as its base; it was put on {put_on.path}"]
    differs = _difference(*(stored_tensors(weight_files(each)[0]) for each in (named.folder, here)))
    if differs is None:
        return []
    name, proven = differs
    if not proven:
        return [f"the adapter names {named.path} as its base; {put_on.path}, which it was put on, has another {name}"]
    raise EngineError(
        f"{adapter.path}: was made on {named.path}, and {put_on.path} is another model: {name} differs; put it on its "
        "own base"
    )


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _difference(one: tuple[Stored, ...], other: tuple[Stored, ...]) -> tuple[str, bool] | None:
    """The first tensor in which two models differ, and whether that proves them two: same names, types and shapes, and
    other values. None for equal ones."""
    left, right = ({each.name: each for each in side} for side in (one, other))
    for name in sorted(left.keys() ^ right.keys()):
        return name, False
    for name, each in left.items():
        if (each.type, each.shape) != (right[name].type, right[name].shape):
            return name, False
    for name, each in left.items():
        if not _equal(each, right[name]):
            return name, True
    return None


def _equal(one: Stored, other: Stored) -> bool:
    with one.file.open("rb") as left, other.file.open("rb") as right:
        left.seek(one.begin)
        right.seek(other.begin)
        rest = one.end - one.begin
        while rest > 0:
            size = min(rest, BLOCK)
            if left.read(size) != right.read(size):
                return False
            rest -= size
    return True
