"""A task's definition as a hash: two runs with equal hashes asked the same questions about equal data."""

from __future__ import annotations

import hashlib
import json

from harness.suite.models import Suite
from harness.suite.task_model import Task


def task_definition(suite: Suite, task: str) -> str:
    """SHA-256 of a task as the suite defines it, of the seed its sample is drawn with and of the suite's own decoding
    rules where it may generate."""
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
    choice = found["choice"]
    if isinstance(choice, dict) and choice["answer_is"] is None:
        del choice["answer_is"]
    return found
