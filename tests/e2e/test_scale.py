"""The benchmark of stored runs: it runs, and what it prints is what it measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_measures_every_command(tmp_path: Path) -> None:
    """A small size goes the whole way: the run is built, all three commands judge and report it, figures are kept."""
    figures = tmp_path / "figures.json"
    command = [sys.executable, "benchmarks/scale.py", "--sizes", "3000", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (measured,) = json.loads(figures.read_text())
    assert measured["items"] == 3000
    assert [each["name"] for each in measured["commands"]] == ["compare", "gate", "report"]
    assert all(each["seconds"] > 0 and each["peak_bytes"] > 10_000_000 for each in measured["commands"])
    assert 10_000 < measured["report_bytes"] < 200_000
    assert "3,000" in done.stdout
