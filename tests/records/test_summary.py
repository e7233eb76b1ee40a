"""The figures of stored verdicts: read without the evidence, old ones too, damaged ones named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.records.store import Store
from harness.records.summary import VerdictSummary, read_summary, summary_of
from harness.records.verdict import VERDICT_SCHEMA
from tests.reports.example import example


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    return Store(tmp_path).save_verdict(example())


def read(stored: Path) -> VerdictSummary:
    """As history reads it."""
    return read_summary(stored.parents[3], stored.parent.parent.parent.name, stored.parent.name)


def test_what_is_read_is_what_was_stored(stored: Path) -> None:
    """The view of the file is the view of the verdict in memory."""
    assert read(stored) == summary_of(example())


def test_a_verdict_of_before_conditions_is_read(stored: Path) -> None:
    """What was not kept then is unknown, not an error."""
    whole = json.loads(stored.read_text())
    for name in ("label", "limit", "baseline_conditions"):
        del whole[name]
    for candidate in whole["candidates"]:
        del candidate["conditions"]
    for task in whole["tasks"]:
        for name in ("plan", "definition", "data_hash", "batching"):
            del task[name]
    del whole["checksum"]
    stored.write_text(json.dumps({**whole, "schema_version": 1}))
    found = read(stored)
    assert (found.label, found.baseline_conditions, found.tasks[0].plan) == ("", None, "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "damaged"),
        (b'{"suite": ', "damaged"),
        (b"[]", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b'{"schema_version": 1}', "suite: Field required"),
    ],
)
def test_a_damaged_verdict_is_named(stored: Path, content: bytes, says: str) -> None:
    """The file, what is wrong, and the command that mends it."""
    stored.write_bytes(content)
    with pytest.raises(RecordError, match=says) as raised:
        read(stored)
    assert str(stored) in str(raised.value)
    assert f"quantgate gate {stored.parent.name}" in str(raised.value)


def test_a_newer_schema_is_refused(stored: Path) -> None:
    """A verdict of a later quantgate is not read half."""
    whole = json.loads(stored.read_text())
    stored.write_text(json.dumps({**whole, "schema_version": 99}))
    with pytest.raises(RecordError, match=f"schema version 99, this quantgate reads up to {VERDICT_SCHEMA}"):
        read(stored)


def test_a_run_that_was_not_judged(tmp_path: Path) -> None:
    """No verdict yet is said, with the command."""
    with pytest.raises(RecordError, match="not judged yet; judge the run again: quantgate gate run-1"):
        read_summary(tmp_path, "s", "run-1")
