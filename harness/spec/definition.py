"""What a task is, as a hash: two runs with equal definitions asked the same thing of equal data."""

from __future__ import annotations

import hashlib
import json

from harness.spec.models import Suite


def task_definition(suite: Suite, task: str) -> str:
    """SHA-256 of a task as the suite defines it, and of the seed its sample is drawn with."""
    text = json.dumps([suite.seed, suite.tasks[task].model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
