"""The model reference that an engine loads."""

from __future__ import annotations

from harness.checkpoints.resolve import Reference
from harness.engines.protocol import LoadSpec
from harness.engines.registry import ENGINES


def reference_of(spec: LoadSpec) -> Reference:
    """Driver and worker make it alike."""
    return Reference(
        path=spec.path,
        is_hub=spec.is_hub,
        revision=spec.revision,
        adapter=spec.adapter,
        tokenizer=spec.tokenizer,
        gguf_file=spec.gguf_file,
        every_file=ENGINES[spec.engine].every_file,
    )
