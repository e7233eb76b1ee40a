"""Tests that are stopped: our own settings, and what becomes of the other tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    "test_waits.py": """
import time
import pytest
def test_before(): pass
@pytest.mark.timeout(2)
def test_waits(): time.sleep(600)
def test_after(): pass
""",
    "test_ends.py": """
import os
import pytest
def test_before(): pass
def test_ends(): os._exit(3)
@pytest.mark.parametrize("number", range(4))
def test_after(number): pass
""",
    "test_native.py": """
import ctypes, signal
import pytest
def test_before(): pass
@pytest.mark.timeout(2)
def test_native():
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    ctypes.PyDLL(None).sleep(600)  # nothing in Python runs meanwhile
def test_after(): pass
""",
}
"""One test that takes too long, one that ends its process, and one that no signal reaches; nine others."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def options() -> list[str]:
    """How `make test` spreads tests over processes."""
    found = re.search(r"^SPREAD := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    return found[1].split()


@pytest.mark.slow
def test_a_stopped_test_fails_by_name_and_the_run_goes_on(folder: Path) -> None:
    """Of three that never end, each is named; all others pass; the summary and an exit code come."""
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest", "-n", "2"]
    done = subprocess.run(
        [*command, *options(), "-p", "no:cacheprovider", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"= 3 failed, 9 passed in \S+s", done.stdout.splitlines()[-1])
    for line in (
        r"FAILED \S*test_waits\.py::test_waits - Failed: Timeout \(>2\.0s\)",
        r"FAILED \S*test_ends\.py::test_ends",
        r"FAILED \S*test_native\.py::test_native",
        r"worker 'gw\d+' crashed while running '\S*test_native\.py::test_native'",
    ):
        assert re.search(line, done.stdout), line
    assert "in test_native" in done.stderr, "where it stood is told"


def test_limits_are_far_from_what_tests_take(pytestconfig: pytest.Config) -> None:
    """Ten minutes and more for any test, three times as much for those that load models or repeat faults."""
    from tests.conftest import LONG_S

    assert float(pytestconfig.getini("timeout")) >= 600
    assert 3 * float(pytestconfig.getini("timeout")) <= LONG_S
