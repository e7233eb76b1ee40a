"""The demo as a newcomer runs it: verdicts, exit code, reports, and nothing computed twice. `make thorough` runs it
with all its items, `make test` with a part of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.model
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("options", "bf16"),
    [
        pytest.param(("--limit", "48"), ("PASS", "INCONCLUSIVE"), id="48 items"),
        pytest.param((), ("PASS",), id="whole", marks=pytest.mark.thorough),
    ],
)
def test_the_demo_gives_a_mixed_picture(
    options: tuple[str, ...], bf16: tuple[str, ...], model: Path, tmp_path: Path
) -> None:
    """bf16 passes, or with few items does not fail; nf4 fails, int8 does not; a second run computes nothing and says
    the same."""
    command = [
        sys.executable, "-m", "harness", "run", "suites/demo.yaml", "--offline", *options,
        "--results", str(tmp_path / "results"), "--reports", str(tmp_path / "reports"),
    ]  # fmt: skip
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 10, first.stderr[-3000:]
    (page,) = (tmp_path / "reports").rglob("report.html")
    assert page.with_name("junit.xml").is_file()
    verdicts = sorted((tmp_path / "results").rglob("verdict.json"))
    decisions = {each["variant"]: each["decision"] for each in json.loads(verdicts[-1].read_text())["candidates"]}
    assert decisions["bf16"] in bf16
    assert decisions["nf4"] == "FAIL"
    assert decisions["int8"] in ("PASS", "INCONCLUSIVE")
    chunks = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("chunks.jsonl")}
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 10
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("chunks.jsonl")} == chunks
