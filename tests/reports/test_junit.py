"""JUnit XML: parses, counts right, red exactly where the verdict is not PASS."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from harness.reports.formats import write_reports
from harness.reports.junit import render_junit
from tests.reports.example import candidate, example


def suites(text: str) -> dict[str, ET.Element]:
    return {suite.get("name", ""): suite for suite in ET.fromstring(text)}


def test_counts_are_those_of_the_verdict() -> None:
    """A case per finding and check; failures and errors as the decisions say, warnings only printed."""
    found = suites(render_junit(example()))
    counts = {
        name.removeprefix("support-bot."): tuple(int(suite.get(key, "-1")) for key in ("tests", "failures", "errors"))
        for name, suite in found.items()
    }
    assert counts == {
        "fp32 (baseline)": (2, 0, 0),
        "bf16": (9, 0, 0),
        "int8": (9, 1, 0),
        "nf4": (9, 3, 0),
        "fake": (2, 0, 2),
    }
    root = ET.fromstring(render_junit(example()))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("31", "4", "2")


def test_inconclusive_is_a_failure_of_its_own_type() -> None:
    """A reader of the XML can tell undecided from failed."""
    failures = suites(render_junit(example()))["support-bot.int8"].findall(".//failure")
    assert [failure.get("type") for failure in failures] == ["INCONCLUSIVE"]
    assert "2,410 more items" in failures[0].get("message", "")


def test_what_did_not_pass_is_never_green() -> None:
    """A candidate whose decision comes from elsewhere (the baseline's gate) still has a failing case."""
    failed = candidate("bf16", "PASS", drop=0.0, kl=0.0004, speed=1.3, size=1).model_copy(
        update={"decision": "FAIL", "sentence": "the baseline is below its floor"}
    )
    suite = suites(render_junit(example().model_copy(update={"candidates": (failed,)})))["support-bot.bf16"]
    assert [failure.get("message") for failure in suite.findall(".//failure")] == ["the baseline is below its floor"]


@pytest.mark.fault(
    "T28", "control characters, markup and CI commands in ids, slices and answers", "text in every report"
)
def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """Control characters that XML forbids do not reach the file; markup in an answer is escaped."""
    write_reports(example(), tmp_path)
    errors = [error.text or "" for error in ET.parse(tmp_path / "junit.xml").iter("error")]
    assert any("<script>alert('owned')</script>" in error and "\u2400" in error for error in errors)
