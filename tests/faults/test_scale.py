"""What one run holds: many variants, and many items under a memory limit.

`benchmarks/limits.py` has the figures at full size (200 variants; 100,000 items). Here it is smaller, and nothing goes
by the clock.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.fault("kind: scale", "forty variants in one suite; 20,000 items where memory is limited", "a verdict")
@pytest.mark.parametrize(
    "asked", [("variants", "--count", "40"), ("items", "--count", "20000", "--gib", "2.5")], ids=["variants", "items"]
)
def test_a_large_run_ends_with_a_verdict(asked: tuple[str, ...]) -> None:
    """run, compare, gate and report of the real command line, each with an exit code that is a verdict."""
    command = [sys.executable, str(ROOT / "benchmarks" / "limits.py"), *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["run", "compare", "gate", "report", "report.html"]
