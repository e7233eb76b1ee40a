"""What is installed where, without importing it, and which device `auto` is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import EngineError

_ASK = (
    "import json, sys\nfrom importlib.metadata import PackageNotFoundError, version\nfound = {}\n"
    "for name in sys.argv[1:]:\n    try:\n        found[name] = version(name)\n"
    "    except PackageNotFoundError:\n        pass\nprint(json.dumps(found))\n"
)


def library_versions(names: Sequence[str], interpreter: Path | None = None) -> Mapping[str, str]:
    """Versions of the installed ones of `names`, with Python's. Raises `EngineError` for a broken interpreter."""
    if interpreter is None:
        from importlib.metadata import PackageNotFoundError, version

        found = {"python": ".".join(map(str, sys.version_info[:3]))}
        for name in names:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                continue
        return found
    try:
        done = subprocess.run(
            [str(interpreter), "-c", _ASK, *names], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(f"{interpreter}: this interpreter could not be run: {error}") from error
    found = json.loads(done.stdout)
    return dict(found)


def device_type(requested: str, torch_version: str | None) -> str:
    """`auto` becomes cuda where a GPU is visible and torch can use it, cpu otherwise; other names stay."""
    if requested != "auto":
        return requested
    if torch_version is None or "+cpu" in torch_version or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "cpu"
    return "cuda" if gpu_count() else "cpu"


def gpu_count() -> int:
    """NVIDIA GPUs the driver shows."""
    try:
        import pynvml
    except ImportError:
        return 0
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()
