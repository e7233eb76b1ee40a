"""What is installed in an interpreter, without importing it, and which device `auto` means."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import EngineError
from harness.methods import installed

_ASK = Path(installed.__file__)


def library_versions(names: Sequence[str], interpreter: Path | None = None) -> Mapping[str, str]:
    """Versions of the installed ones of `names`, which are modules' names, with Python's.

    Raises `EngineError` for what is no Python interpreter, or is one that does not run.
    """
    if interpreter is None:
        return installed.installed_versions(names)
    try:
        done = subprocess.run(
            [str(interpreter), "-s", str(_ASK), *names],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        raise _no_python(interpreter, "no answer within 60 s") from None
    except OSError as error:
        raise _no_python(interpreter, error.strerror or str(error)) from error
    try:
        if done.returncode == 0:
            return {str(name): str(version) for name, version in json.loads(done.stdout).items()}
    except (ValueError, AttributeError):
        raise _no_python(interpreter, f"it printed {done.stdout[:80]!r} for its versions") from None
    said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    raise _no_python(interpreter, f"status {done.returncode}: {said[:200]}")


def _no_python(interpreter: Path, why: str) -> EngineError:
    return EngineError(f"this is no Python interpreter that runs here: {why}", about=str(interpreter))


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
