"""A variant in words, for tables and reports, and a task's definition as a hash.

Two runs with equal hashes asked the same questions about equal data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from harness.notation import byte_size, duration
from harness.suite.models import Suite
from harness.suite.task_model import Task
from harness.suite.variant_model import Variant


def quantization_words(variant: Variant) -> str:
    """`bitsandbytes 4-bit nf4 double quant`, `bfloat16`, or `as stored`."""
    if variant.quantize is None:
        return variant.dtype or {"address": "served", "results": "imported"}.get(variant.engine_row.model, "as stored")
    words = [variant.quantize.method]
    for name, value in variant.quantize.block().items():
        if name == "bits":
            words.append(f"{value}-bit")
        elif isinstance(value, bool):
            words.extend([name.replace("_", " ")] if value else [])
        elif name != "method":
            words.append(str(value) if isinstance(value, str) else f"{name.replace('_', ' ')} {value}")
    return " ".join(words)


def made_words(card: Mapping[str, Any]) -> str:
    """How a checkpoint was made: tool and versions, calibration data, time and memory."""
    versions = ", ".join(f"{name} {value}" for name, value in sorted(card["versions"].items()))
    told = [
        f"by {card['tool']} in {duration(card['seconds'])}, peak memory {byte_size(card['peak_bytes'])} ({versions})"
    ]
    if (data := card["calibration"]) is not None:
        told.append(
            f"calibrated on {data['samples']} samples of {data['length']} tokens of {data['data']}, "
            f"seed {data['seed']}, SHA-256 {data['sha256'][:16]}"
        )
    return "; ".join(told)


def task_definition(suite: Suite, task: str) -> str:
    """SHA-256 of a task as the suite defines it, of the seed its sample is drawn with and of the suite's own decoding
    rules where it may generate."""
    if suite.tasks_in_files:
        return ""
    parts: list[object] = [suite.seed, _as_first_written(suite.tasks[task])]
    if suite.decoding is not None and suite.tasks[task].kind in ("generate", "lm_eval"):
        parts.append(suite.decoding.model_dump(mode="json"))
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_first_written(task: Task) -> dict[str, object]:
    """Keys added later are left out where they are not set, so that old tasks keep their hash."""
    found: dict[str, object] = task.model_dump(mode="json")
    if not task.reference_in_prompt:
        del found["reference_in_prompt"]
    for name in ("repeats", "sampling", "metric"):
        if not found[name]:
            del found[name]
    generate = found["generate"]
    if isinstance(generate, dict) and generate["sampling"] is None:
        del generate["sampling"], generate["repeats"]  # which needs sampling
    if isinstance(generate, dict) and generate["schema_file"] is None:
        del generate["schema_file"]
    choice = found["choice"]
    if isinstance(choice, dict) and choice["answer_is"] is None:
        del choice["answer_is"]
    return found
