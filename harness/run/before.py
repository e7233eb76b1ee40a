"""The model before fine-tuning as a further variant: neither baseline nor candidate, never quantized, never timed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from harness.errors import EngineError, SuiteError
from harness.run.variants import RunVariant, resolve_variant
from harness.spec.load import LoadedSuite
from harness.spec.models import Base, Variant
from harness.spec.places import resolve_model

NAME = "base model"
"""What messages, logs and records call it. A variant's name has no space, so none is called so."""
AUTO = "auto"


def resolve_before(loaded: LoadedSuite, *, offline: bool) -> RunVariant:
    """The suite's `base`, with the baseline's engine, device and dtype. Raises `EngineError` when it cannot be had."""
    assert loaded.suite.base is not None
    try:
        spec = base_variant(loaded, loaded.suite.base)
        suite = loaded.suite.model_copy(update={"variants": {**loaded.suite.variants, NAME: spec}})
        return resolve_variant(replace(loaded, suite=suite), NAME, offline=offline)
    except SuiteError as error:
        raise EngineError(f"base: {error.problems[0].message}") from error


def base_variant(loaded: LoadedSuite, base: Base) -> Variant:
    """The suite's `base` as a variant. Raises `EngineError` or `SuiteError` where `auto` finds no adapter's base."""
    baseline = loaded.suite.variants[loaded.suite.baseline]
    changes = {
        "baseline": False,
        "quantized": False,
        "path": _adapters_base(loaded, baseline) if base.path == AUTO else base.path,
        "gguf_file": None,
        "revision": base.revision,
        "adapter": None,
        "tokenizer": base.tokenizer,
        "dtype": base.dtype or baseline.dtype,
        "script": base.script,
    }
    return baseline.model_copy(update=changes)


def _adapters_base(loaded: LoadedSuite, baseline: Variant) -> str:
    """What the fine-tuned model's adapter was trained on."""
    asked = baseline.path or loaded.suite.model
    if baseline.adapter is not None:
        return asked
    place = resolve_model(loaded, asked, "base")
    config = Path(place.path) / "adapter_config.json"
    if place.is_hub or not config.is_file():
        raise EngineError(f"base: auto needs a folder with a PEFT adapter, and {asked} is none; name the base's path")
    try:
        named = json.loads(config.read_text()).get("base_model_name_or_path")
    except ValueError as error:
        raise EngineError(f"base: {config} is not JSON: {error}") from error
    if not isinstance(named, str) or not named:
        raise EngineError(f"base: {config} names no base_model_name_or_path; name the base's path")
    return named
