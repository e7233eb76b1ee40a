"""The environments that tests run in. `make environments` builds them before the tests; a test never builds one.

Two at a time, each within a limit of its own. One that cannot be built stops nothing: what was said of it is kept, and
each test that needs it fails with that. Where nobody tried (`make quick`), such tests are skipped.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import EngineError
from harness.runner.interpreters import environments
from harness.worker.environments import Environment, from_requirements, shipped

ROOT = Path(__file__).parents[1]
TRIED = ROOT / ".cache" / "environments.json"
"""Why each environment that could not be built could not."""
SHIPPED = ("llama.cpp", "gptqmodel", "llm-compressor", "autoawq", "auto-gptq")
"""The longest first. vllm needs CUDA; its tests run in an interpreter that is named to them."""
XLLAMACPP = "xllamacpp==2026.10.11549"
AT_A_TIME = 2
Interpreter = Callable[[str], Path]
"""What the fixture `interpreter` is: `built`."""


def needed() -> Mapping[str, Environment]:
    """By the names that tests call them."""
    table = shipped()
    return {
        **{name: table[name] for name in SHIPPED},
        "xllamacpp": from_requirements((XLLAMACPP,), suite="served.yaml"),
    }


def built(name: str, tried: Path = TRIED) -> Path:
    """The Python of a built environment. Without it the test fails with pip's reason, or is skipped where nobody
    tried to build it."""
    environment = needed()[name]
    python = environments().python(environment)
    if python is not None:
        return python
    reasons = json.loads(tried.read_text()) if tried.exists() else {}
    if environment.key in reasons:
        pytest.fail(f"environment {name} could not be built by `make environments`: {reasons[environment.key]}")
    pytest.skip(f"environment {name} is not built here: make environments")


def limit_s(environment: Environment) -> float:
    """Three times what a build takes, and five minutes for a slow network."""
    return 60.0 * (3 * environment.minutes + 5)


def build_in_time(command: list[str], limit: float) -> str | None:
    """Run a build; None when it came to its end, else its last lines. At the limit all its processes are ended."""
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            _, said = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return f"not built after {limit:.0f} s"
    return None if process.returncode == 0 else "\n".join(said.splitlines()[-20:]) or f"status {process.returncode}"


def _build(name: str) -> str | None:
    environment = needed()[name]
    if environments().python(environment) is not None:
        return None
    started = time.monotonic()
    sys.stdout.write(f"{name}: building, about {environment.minutes} min\n")
    sys.stdout.flush()
    reason = build_in_time([sys.executable, "-m", "tests.environments", name], limit_s(environment))
    outcome = "built" if reason is None else f"COULD NOT BE BUILT: {reason}"
    sys.stdout.write(f"{name}: {outcome} ({time.monotonic() - started:.0f} s)\n")
    sys.stdout.flush()
    return reason


def build_all() -> None:
    """Build what is not there, and keep the reasons of what could not be built."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        reasons = dict(zip(needed(), pool.map(_build, needed()), strict=True))
    failed = {needed()[name].key: reason for name, reason in reasons.items() if reason is not None}
    TRIED.parent.mkdir(exist_ok=True)
    TRIED.write_text(json.dumps(failed, indent=1))


def main() -> None:
    """Without a name all of them; with one, that one, in this process."""
    if len(sys.argv) == 1:
        build_all()
        return
    try:
        environments().build(needed()[sys.argv[1]])
    except EngineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
