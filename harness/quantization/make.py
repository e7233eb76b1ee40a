"""Makes one checkpoint in the tool's own interpreter. Started by `harness/start.py` with a job file.

The job is JSON: `method` and the fields of `harness.methods.base.Recipe`. Beside it `made.json` is written at the end.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path

from harness.methods import METHODS
from harness.methods.base import Recipe
from harness.methods.installed import installed_versions


def main(argv: Sequence[str]) -> None:
    job_file = Path(argv[0])
    job = json.loads(job_file.read_text())
    method = METHODS[job.pop("method")]
    recipe = Recipe(**job)
    tool = method.tool(recipe.block)
    assert tool is not None
    started = time.monotonic()
    tool.make(recipe)
    facts = {
        "seconds": round(time.monotonic() - started, 1),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": installed_versions(("torch", "transformers", "numpy", *tool.packages)),
    }
    job_file.with_name("made.json").write_text(json.dumps(facts))
