"""Which libraries read a variant's weights: the ones of its method, or of the method that its checkpoint names.

Owns the look into a checkpoint's configuration, in a folder or on a hub. Loads no weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints.resolve import Reference, resolve
from harness.errors import EngineError
from harness.methods import METHODS
from harness.methods.base import Method
from harness.suite.locations import ModelLocation
from harness.suite.models import Suite
from harness.suite.variant_model import Variant

CHECKPOINTS = {"gptq": "gptq", "awq": "awq", "compressed-tensors": "compressed-tensors", "bitsandbytes": "bitsandbytes",
               "hqq": "hqq", "torchao": "torchao", "quanto": "quanto", "fp8": "fp8", "auto-round": "gptq"}  # fmt: skip
"""`quant_method` of a checkpoint's configuration to the method whose libraries read it."""
CONFIG = "config.json"
ADAPTER = "adapter_config.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a variant's weights are, and whether a hub may be asked for them."""

    place: ModelLocation
    revision: str | None = None
    """Commit, tag or branch of a hub id."""
    offline: bool = False


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What reads a variant's weights, besides its engine."""

    method: Method | None = None
    """None for full precision, and for a method that quantgate has no row of."""
    packages: tuple[str, ...] = ()
    """Modules whose versions decide what comes out."""


def revision_of(suite: Suite, variant: Variant) -> str | None:
    """The variant's own; the suite's for the suite's model."""
    return variant.revision or (suite.revision if variant.path is None else None)


def reader_of(variant: Variant, source: Source | None) -> Reader:
    """What reads the variant's weights. `source`: None where they are not made, or not to be found.

    Raises `EngineError` for a configuration that cannot be read, on a hub above all.
    """
    found = _reader(variant, source)
    folder = Path(source.place.path) if source is not None and not source.place.is_hub else None
    tuned = variant.adapter is not None or (folder is not None and (folder / ADAPTER).is_file())
    return Reader(method=found.method, packages=(*found.packages, *(("peft",) if tuned else ())))


def _reader(variant: Variant, source: Source | None) -> Reader:
    if variant.quantize is not None:
        row = variant.quantize.row
        return Reader(method=row, packages=(*row.packages, *row.other_readers))
    if not variant.engine_row.named_readers or source is None:
        return Reader()
    if variant.gguf_file is not None:
        return Reader(packages=("gguf",))
    kind = _named(source)
    method = METHODS.get(CHECKPOINTS.get(kind, ""))
    own = kind.replace("-", "_")
    named = (own,) if own.isidentifier() and kind != getattr(method, "name", None) else ()
    packages = (*method.packages, *method.other_readers) if method is not None else ()
    return Reader(method=method, packages=(*packages, *(name for name in named if name not in packages)))


def _named(source: Source) -> str:
    """`quant_method` of the checkpoint's configuration, with dashes; empty for full precision."""
    file = hub_config(source) if source.place.is_hub else _local_config(source)
    if file is None or not file.is_file():
        return ""
    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise EngineError(f"{file}: expected valid JSON: {error}") from error
    described = config.get("quantization_config") if isinstance(config, Mapping) else None
    if not described:
        return ""
    if not isinstance(described, Mapping):
        raise EngineError(f"{file}: quantization_config: expected a mapping, got {json.dumps(described)[:80]}")
    return str(described.get("quant_method", "")).replace("_", "-")


def _local_config(source: Source) -> Path | None:
    """A folder's configuration, an adapter's base's for an adapter."""
    base = resolve(Reference(path=source.place.path)).base
    if not base.is_hub:
        return Path(base.path) / CONFIG
    place = ModelLocation(path=base.path, is_hub=True)
    return hub_config(Source(place=place, revision=base.revision, offline=source.offline))


def hub_config(source: Source) -> Path | None:
    """A hub id's configuration, from the local cache or the hub; None where the repository has none."""
    name, revision = source.place.path, source.revision
    try:
        from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError as error:
        raise EngineError(f"{error.name} is not installed: pip install 'quantgate[transformers]'") from error
    offline = source.offline or bool(constants.HF_HUB_OFFLINE)
    shown = f"{name} (revision {revision or 'main'})"
    try:
        if isinstance(try_to_load_from_cache(name, ADAPTER, revision=revision), str):
            return None
        return Path(hf_hub_download(name, CONFIG, revision=revision, local_files_only=offline))
    except LocalEntryNotFoundError as error:
        fetch = f"`hf download {name}{f' --revision {revision}' if revision else ''}`"
        why = f"and offline no hub is asked; fetch it before: {fetch}" if offline else "and the hub could not be asked"
        raise EngineError(f"{shown}: its {CONFIG} is not in the local cache, {why}{_last_words(error)}") from error
    except EntryNotFoundError:  # the hub's own word: an adapter, or GGUF files
        return None
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise EngineError(f"{shown}: its {CONFIG} could not be fetched: {said[:300]}") from error


def _last_words(error: Exception) -> str:
    """What the network said, where it was asked."""
    cause = error.__cause__
    return f": {' '.join(str(cause).split())[:200] or type(cause).__name__}" if cause is not None else ""
