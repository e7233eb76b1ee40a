"""Whether a checkpoint is quantized already. Quantizing it again would measure two methods at once and is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from harness.errors import EngineError

KEYS = ("quantization_config", "compression_config")
"""Where config.json names the method; the second is what older llm-compressor writes."""
FILES = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
"""Where auto-gptq, autoawq and NVIDIA's ModelOpt name it, in older checkpoints there alone."""


def named_method(folder: Path) -> str | None:
    """The method that a checkpoint's configuration names; None for a full-precision one.

    Raises `EngineError` for a configuration that is not JSON.
    """
    described = _read(folder / "config.json")
    parts = [described, described.get("text_config")]
    for found in (part.get(key) for part in parts if isinstance(part, Mapping) for key in KEYS):
        if found:
            return str(found.get("quant_method", "unnamed method")) if isinstance(found, Mapping) else "unnamed method"
    for name in FILES:
        if (folder / name).is_file():
            found = _read(folder / name)
            return str(found.get("quant_method") or f"described by {name}")
    return None


def refuse_requantization(folder: Path, method: str) -> None:
    """Raises `EngineError` for weights that are quantized already, and would be again with `method`."""
    if (named := named_method(folder)) is not None:
        raise EngineError(
            f"{folder} is already quantized ({named}), and this variant quantizes it again with {method}; leave "
            "quantize out, or name the full-precision folder"
        )


def _read(file: Path) -> Mapping[str, object]:
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text())
    except (ValueError, OSError) as error:
        raise EngineError(f"{file}: expected valid JSON: {error}") from error
    return found if isinstance(found, Mapping) else {}
