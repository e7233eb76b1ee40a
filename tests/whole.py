"""All tests, as `make test` runs them: environments are built beside the tests that need none.

python -m tests.whole [what goes to pytest]

Where an environment is missing, its build starts at once and the tests that run in one wait for it, in a second call
of pytest; else one call has all. Says pytest's closing line of each call at the end, and ends with the worst exit code.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence

import pytest

from harness.runner.interpreters import environments
from tests.environments import needed

ALL = "not thorough"
PARTS = (f"{ALL} and not environment", f"{ALL} and environment")
CLOSING = re.compile(r"=+ (.*\b(?:passed|failed|errors?|skipped|deselected|no tests ran)\b.* in [0-9.]+s.*?) =+")
NOTHING_TO_DO = int(pytest.ExitCode.NO_TESTS_COLLECTED)


def main() -> None:
    asked = sys.argv[1:]
    if all(environments().python(each) is not None for each in needed().values()):
        parts = [tests(ALL, asked)]
    else:
        build = threading.Thread(target=build_environments)
        build.start()
        first = tests(PARTS[0], asked)
        if build.is_alive():
            write("waiting for the environments\n")
        build.join()
        parts = [first, tests(PARTS[1], asked)]
    for _, closing in parts:
        write(f"=== {closing} ===\n")
    sys.exit(worst(code for code, _ in parts))


def build_environments() -> None:
    """The step of its own, with its own lines and limits. What it could not build fails the tests that need it."""
    started = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "tests.environments"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            write(f"\nenvironments: {line}")
    write(f"\nenvironments: ended after {(time.monotonic() - started) / 60:.1f} min\n")


def tests(which: str, asked: Sequence[str]) -> tuple[int, str]:
    """A call of pytest: its exit code and its closing line."""
    command = [sys.executable, "-m", "pytest", "-m", which, "--durations=10", *asked]
    said = b""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while part := os.read(process.stdout.fileno(), 1 << 16):
            sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
            said = (said + part)[-(1 << 14) :]
    return process.returncode, closing_line(said.decode(errors="replace"))


def closing_line(said: str) -> str:
    found = CLOSING.findall(said)
    return found[-1] if found else "pytest did not get to its end"


def worst(codes: Iterable[int]) -> int:
    """Of several calls. That one of them had nothing to do is no failure; that all had nothing is."""
    told = [code for code in codes if code != NOTHING_TO_DO]
    return next((code for code in told if code != 0), 0) if told else NOTHING_TO_DO


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
