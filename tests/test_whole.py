"""`make test`: one exit code and every closing line, whatever became of its calls of pytest."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.whole import NOTHING_TO_DO, closing_line, worst


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ((0, 0), 0),
        ((1, 0), 1),
        ((0, 1), 1),
        ((0, NOTHING_TO_DO), 0),
        ((NOTHING_TO_DO, 1), 1),
        ((NOTHING_TO_DO, NOTHING_TO_DO), NOTHING_TO_DO),
        ((0, -9), -9),
    ],
)
def test_a_failure_of_either_call_is_a_failure(codes: Sequence[int], expected: int) -> None:
    """A call that is killed is one too; nothing to do in one of two is none."""
    assert worst(codes) == expected


@pytest.mark.parametrize(
    "line",
    [
        "1 failed, 2622 passed, 5 skipped in 912.11s (0:15:12)",
        "3 passed, 8 deselected in 0.52s",
        "8 deselected in 0.02s",
        "no tests ran in 0.01s",
        "2 passed, 1 error in 3.00s",
    ],
)
def test_the_closing_line_is_found(line: str) -> None:
    """The last of them, behind all that was captured before; none is said to be none."""
    assert closing_line(f"==== slowest 10 durations ====\n== 1 passed in 1.00s ==\nx\n===== {line} =====\n") == line
    assert closing_line("==== FAILURES ====\nKilled\n") == "pytest did not get to its end"
