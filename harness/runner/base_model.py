"""The model before fine-tuning as a further variant: neither baseline nor candidate, never quantized, never timed."""

from __future__ import annotations

from dataclasses import replace

from harness.checkpoints.opened_files import ADAPTER
from harness.checkpoints.resolve import Location, base_of, locate
from harness.errors import EngineError, SuiteError
from harness.runner.loader_libraries import revision_of
from harness.runner.variants import RunVariant, resolve_variant
from harness.suite.load import LoadedSuite
from harness.suite.locations import resolve_model
from harness.suite.variant_model import Base, Variant

NAME = "base model"
"""Its name in messages, logs and records. Variant names have no space, so none is equal to it."""
AUTO = "auto"


def resolve_base(loaded: LoadedSuite, *, offline: bool, fresh: bool = False) -> RunVariant:
    """The suite's `base`, with the baseline's engine, device and dtype. Raises `EngineError` when it is not
    available."""
    assert loaded.suite.base is not None
    try:
        spec = base_variant(loaded, loaded.suite.base)
        suite = loaded.suite.model_copy(update={"variants": {**loaded.suite.variants, NAME: spec}})
        return resolve_variant(replace(loaded, suite=suite), NAME, offline=offline, fresh=fresh)
    except SuiteError as error:
        raise EngineError(f"base: {error.problems[0].message}") from error


def base_variant(loaded: LoadedSuite, base: Base) -> Variant:
    """The suite's `base` as a variant. Raises `EngineError` or `SuiteError` where `auto` finds no adapter's base."""
    baseline = loaded.suite.variants[loaded.suite.baseline]
    found = _adapters_base(loaded, baseline) if base.path == AUTO else None
    changes = {
        "baseline": False,
        "quantized": False,
        "path": base.path if found is None else found.path,
        "gguf_file": None,
        "revision": base.revision or (None if found is None else found.revision),
        "adapter": None,
        "tokenizer": base.tokenizer,
        "dtype": base.dtype or baseline.dtype,
        "script": base.script,
    }
    return baseline.model_copy(update=changes)


def _adapters_base(loaded: LoadedSuite, baseline: Variant) -> Location:
    """What the fine-tuned model's adapter was trained on."""
    asked = baseline.path or loaded.suite.model
    place = resolve_model(loaded, asked, "base")
    found = locate(place.path, is_hub=place.is_hub, revision=revision_of(loaded.suite, baseline))
    if baseline.adapter is not None:
        return found
    if found.folder is None or not (found.folder / ADAPTER).is_file():
        raise EngineError(f"base: auto needs a folder with a PEFT adapter, and {asked} is none; name the base's path")
    try:
        return base_of(found)
    except EngineError as error:
        raise EngineError(f"base: {error}") from error
