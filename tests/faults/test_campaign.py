"""The campaign itself: what it makes of tests that pass, fail, are skipped or end their process, and a page in step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.seeds import Seed, order
from tests.faults.trust import PAGE, beginning, escaped, page

ROOT = Path(__file__).parents[2]
TESTS = """
import os
import pytest
@pytest.mark.fault("T1", "a letter is lost", "named")
@pytest.mark.parametrize("number", range(2))
def test_caught(number): pass
@pytest.mark.fault("T10", "two | letters are <lost>")
@pytest.mark.parametrize("number", range(2))
def test_missed(number): assert number == 0
@pytest.mark.fault("kind: letters", "the process ends")
@pytest.mark.fault("T2", "all letters are lost")
def test_ends(): os._exit(3)
@pytest.mark.fault("M3", "no letters here")
def test_skipped(): pytest.skip("no alphabet")
def test_of_something_else(): assert False
"""


def campaign(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.faults.campaign", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_what_is_not_caught_is_on_the_page_and_in_the_exit_code(tmp_path: Path) -> None:
    """A fault is caught when all its tests pass; one that ends its process is not; the page is written all the same."""
    (tmp_path / "test_letters.py").write_text(TESTS)
    done = campaign("--page", str(tmp_path / "page.md"), "--", "-n1", "--dist", "worksteal", str(tmp_path))
    assert done.returncode == 1, done.stderr
    text = (tmp_path / "page.md").read_text()
    for line in (
        "5 faults in 6 tests: 4 cases and 1 kinds.",
        "**Caught: 1. Not caught: 3.** Not tried on this machine: 1.",
        "| T1 | a letter is lost | named | caught |",
        "| T2 | all letters are lost | the right result | **NOT CAUGHT** |",
        "| T10 | two \\| letters are &lt;lost> | the right result | **NOT CAUGHT** |",
        "| letters | the process ends | the right result | **NOT CAUGHT** |",
        "| M3 | no letters here | the right result | not tried: no alphabet |",
    ):
        assert line in text, text[-2000:]
    assert text.index("| T1 |") < text.index("| T2 |") < text.index("| T10 |")
    assert "5 faults seeded, 3 not caught" in done.stderr


@pytest.mark.slow
def test_a_mark_that_says_nothing_is_refused(tmp_path: Path) -> None:
    """Row or kind and what was seeded are needed; the test is named."""
    (tmp_path / "test_empty.py").write_text('import pytest\n@pytest.mark.fault("T1")\ndef test_empty(): pass\n')
    done = campaign("--list", str(tmp_path))
    assert done.returncode == 1
    assert "test_empty.py::test_empty" in done.stderr


@pytest.mark.slow
def test_the_page_names_every_fault_in_the_tree() -> None:
    """docs/trust.md is made by `make faults`; here it is only held against the marks."""
    done = campaign("--list")
    assert done.returncode == 0, done.stderr
    text = PAGE.read_text()
    missing = [
        seed
        for each in json.loads(done.stdout.splitlines()[-1])
        if beginning(seed := Seed(row=each["row"], seeded=each["seeded"])) not in text
    ]
    assert missing == [], "make faults"


def test_rows_come_in_the_order_of_the_report() -> None:
    """T2 before T10, rows before kinds; text of a mark cannot break a table."""
    rows = ["kind: b", "T10", "S3b", "M1", "T2", "S3", "kind: a"]
    assert sorted(rows, key=order) == ["M1", "S3", "S3b", "T2", "T10", "kind: a", "kind: b"]
    assert escaped("a | b\n<c> `<d>`") == "a \\| b &lt;c> `<d>`"


def test_the_page_says_what_is_not_promised() -> None:
    """Also when nothing was missed."""
    text = page([Seed(row="T1", seeded="x", outcome="caught", tests=("a",))])
    for word in ("Forgery", "Served weights", "Code that was allowed", "Other machines"):
        assert f"**{word}." in text
    assert "### Not caught" not in text
