"""Everything that a user sees of the same stored runs is what it was: every byte of every output.

What differs on purpose is written with `python -m tests.golden.make [SCENE ...]` and read in the diff. Only the last
digits of long numbers may differ, as processors add up in different orders; `--check` holds those too.
"""

from __future__ import annotations

import difflib
import math
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.golden.make import SCENES, normalised, outputs, stored

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")
LONG = 13
"""Significant digits from which on a number is one as computed, not one as printed for people."""
SHOWN, AROUND = 12, 100
"""Lines of a difference that are told, and characters of a line on either side of where it begins."""


@pytest.mark.parametrize("scene", SCENES)
def test_outputs_are_as_they_were(scene: str, tmp_path: Path) -> None:
    """The same files with the same text."""
    before, now = stored(scene), outputs(scene, tmp_path)
    told = [f"{scene}/{name}: is no longer made" for name in before.keys() - now.keys()]
    told += [f"{scene}/{name}: is new" for name in now.keys() - before.keys()]
    told += [
        f"{scene}/{name}:\n{says}"
        for name in sorted(before.keys() & now.keys())
        if (says := difference(before[name], now[name]))
    ]
    if told:
        pytest.fail("\n".join(told), pytrace=False)


def difference(before: str, now: str) -> str:
    """The first lines that differ, or nothing."""
    if before == now:
        return ""
    old, new = before.splitlines(keepends=True), now.splitlines(keepends=True)
    if len(old) == len(new) and all(map(same, old, new)):
        return ""
    lines: list[str] = []
    for tag, first, last, start, end in difflib.SequenceMatcher(None, old, new).get_opcodes():
        if tag == "equal" or (tag == "replace" and all(map(same, old[first:last], new[start:end]))):
            continue
        lines.append(f"@@ line {first + 1}")
        place = _begins(old[first], new[start]) if tag == "replace" else 0
        lines += [f"- {_cut(each, place)}" for each in old[first:last]]
        lines += [f"+ {_cut(each, place)}" for each in new[start:end]]
    return "\n".join(lines[:SHOWN] + ([f"  and {len(lines) - SHOWN} more lines"] if len(lines) > SHOWN else []))


def same(before: str, now: str) -> bool:
    """Whether two lines differ in the last digits of long numbers at most."""
    if before == now:
        return True
    if NUMBER.split(before) != NUMBER.split(now):
        return False
    return all(map(_same_number, NUMBER.findall(before), NUMBER.findall(now)))


def _same_number(before: str, now: str) -> bool:
    if before == now:
        return True
    if max(len(re.sub(r"^-?0?\.?0*|\.|e.*", "", each)) for each in (before, now)) < LONG:
        return False
    return math.isclose(float(before), float(now), rel_tol=1e-10, abs_tol=1e-15)


def _begins(before: str, now: str) -> int:
    """Where two lines begin to differ."""
    pairs = enumerate(zip(before, now, strict=False))
    return next((place for place, (old, new) in pairs if old != new), min(len(before), len(now)))


def _cut(line: str, place: int) -> str:
    start = max(0, place - AROUND)
    return ("…" if start else "") + repr(line[start : place + AROUND])[1:-1]


@pytest.mark.parametrize(
    ("before", "now", "equal"),
    [
        ("x 0.12345678901234567", "x 0.12345678901234569", True),
        ("x 0.1, y", "x 0.10000000000000002, y", True),
        ("x 0.12345678901234567", "x 0.12345678911234567", False),
        ("0.50 pp", "0.5 pp", False),
        ("10.33 pp", "10.34 pp", False),
        ("0.12345678901234567 a", "0.12345678901234567 b", False),
    ],
)
def test_only_the_last_digits_may_differ(before: str, now: str, equal: bool) -> None:
    """A number as people read it is compared as text."""
    assert same(before, now) is equal


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("at 2026-11-30T19:14:15+00:00", "at 2026-11-30T19:14:15+00:00"),
        ("at 2026-11-30 19:14", "at 2026-11-30 19:14"),
        ("at 2026-11-30T21:00:02+00:00", "at <now>"),
        ("at 2026-11-30 21:00 UTC", "at <now>"),
        ("on 2026-11-30", "on <now>"),
        ("on 2026-11-29", "on 2026-11-29"),
    ],
)
def test_a_moment_of_the_same_day_is_not_now(text: str, named: str) -> None:
    """A stored run keeps its moments on the day it was made; only those of the scene itself are named."""
    begun = datetime(2026, 11, 30, 21, 0, 1, tzinfo=UTC)
    assert normalised(text, begun, begun + timedelta(seconds=9)) == named
