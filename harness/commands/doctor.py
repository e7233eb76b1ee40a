"""`quantgate doctor`: what works on this machine, found out by doing it on a tiny model."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from harness.errors import UsageError
from harness.notation import byte_size


def examine(methods: tuple[str, ...], *, as_json: bool) -> int:
    """A line a method and a way of loading: usable here, after a build, or not here and why. Always 0."""
    from harness.doctor.other_loaders import WAYS, attempt_loader
    from harness.doctor.tiny_model import tiny_model
    from harness.doctor.trials import Attempt, attempt_method
    from harness.methods import METHODS

    known = (*METHODS, *WAYS)
    for name in methods:
        if name not in known:
            raise UsageError(f"--method {name}: expected one of {', '.join(known)}")
    found: list[Attempt] = []
    with tempfile.TemporaryDirectory(prefix="quantgate-doctor-") as folder:
        model = tiny_model(Path(folder) / "model")
        for name in methods or known:
            print(f"trying {name}", file=sys.stderr, flush=True)
            if name in METHODS:
                found.append(attempt_method(METHODS[name], model, Path(folder)))
            else:
                found.append(attempt_loader(name, model, Path(folder)))
    machine = _machine()
    if as_json:
        print(json.dumps({"machine": machine, "methods": [asdict(each) for each in found]}, indent=1))
        return 0
    for key, value in machine.items():
        print(f"{key:<14}{value}")
    print()
    for each in found:
        print(f"{each.method:<20}{each.state:<16}{each.says}")
    return 0


def _machine() -> dict[str, str]:
    from harness.checkpoints.contents import cache_folder
    from harness.runner.host import this_host
    from harness.worker.versions import library_versions

    host = this_host()
    libraries = library_versions(("torch", "transformers", "lm_eval", "bitsandbytes", "numpy"))
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{host.processor}, {host.cores} cores, {host.memory_bytes / 2**30:.0f} GiB",
        "GPUs": ", ".join(host.accelerators) or "none visible",
        "libraries": ", ".join(f"{name} {value}" for name, value in libraries.items()),
        "cache": f"{cache}, {byte_size(shutil.disk_usage(cache).free)} free",
    }
