"""Makes one checkpoint in the tool's own interpreter. Started as a script with a job file; never imported.

The job is JSON: `method` and the fields of `harness.methods.base.Recipe`. Beside it `made.json` is written at the end.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import resource
import signal
import sys
import time
from pathlib import Path


def register_package() -> None:
    """Make `harness` importable from where this file lies, without its neighbours in site-packages."""
    root = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(
        "harness", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["harness"] = module
    spec.loader.exec_module(module)


def die_with_the_driver() -> None:
    """On Linux the kernel ends this process when its parent dies: two must not write one checkpoint."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def main(job_file: Path) -> None:
    die_with_the_driver()
    register_package()
    from harness.methods import METHODS
    from harness.methods.base import Recipe
    from harness.methods.installed import installed_versions

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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
