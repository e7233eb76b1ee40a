"""What a task is, as a hash: two runs with equal definitions asked the same thing of equal data."""

from __future__ import annotations

import hashlib
import json

from harness.spec.models import Suite, Task


def task_definition(suite: Suite, task: str) -> str:
    """SHA-256 of a task as the suite defines it, and of the seed its sample is drawn with."""
    text = json.dumps([suite.seed, _as_first_written(suite.tasks[task])], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_first_written(task: Task) -> dict[str, object]:
    """Keys that came later are left out where they are not set, so that a task stays what it was."""
    found: dict[str, object] = task.model_dump(mode="json")
    if not task.reference_in_prompt:
        del found["reference_in_prompt"]
    choice = found["choice"]
    if isinstance(choice, dict) and choice["answer_is"] is None:
        del choice["answer_is"]
    return found
