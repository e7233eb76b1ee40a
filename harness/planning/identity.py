"""What identifies an evaluation: hashes of weights, tokenizer, requests and everything that computes."""

from __future__ import annotations

import hashlib
import json

from harness.checkpoints.contents import content_of
from harness.checkpoints.resolve import Reference, resolve
from harness.engines.registry import ENGINES
from harness.records.evaluation_manifest import evaluation_key as evaluation_key
from harness.suite.variant_model import Variant


def quantization_text(variant: Variant) -> str:
    """Canonical JSON of the `quantize` block and placement; empty for neither."""
    parts = {
        "quantize": variant.quantize.model_dump(mode="json") if variant.quantize is not None else None,
        "device_map": variant.device_map,
        "max_memory": variant.max_memory,
        "script": variant.script,
        "gguf_file": variant.gguf_file,
        **{
            row.settings: block.model_dump(mode="json", exclude_none=True)
            for row in ENGINES.values()
            if row.settings is not None and (block := getattr(variant, row.settings)) is not None
        },
        "environment": list(variant.environment) if isinstance(variant.environment, tuple) else variant.environment,
    }
    kept = {name: value for name, value in parts.items() if value is not None}
    return json.dumps(kept, sort_keys=True) if kept else ""


def weights_identity(path: str, *, is_hub: bool, revision: str | None, fresh: bool = False) -> str:
    """Hash of everything that is read from a model: weights, configuration, tokenizer and generation settings, the base
    behind an adapter included. A hub id goes by its commit, or by its name where that is not known.

    `fresh`: files are hashed again, ignoring remembered hashes. Raises `EngineError` for unusable files.
    """
    content = content_of(resolve(Reference(path=path, is_hub=is_hub, revision=revision)), fresh=fresh)
    if is_hub:
        return content.weights
    parts = "\0".join((content.weights, content.tokenizer, content.generation))
    return f"sha256:{hashlib.sha256(parts.encode()).hexdigest()}"
