"""What a run says while it works."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from harness.run.progress import Amount, Lines


def test_time_left_goes_by_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest items come first: a tenth of the items, half of the work, so as long again."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    out = io.StringIO()
    lines = Lines(Console(file=out, width=200))
    lines.task("nf4", "ask", Amount(items=110, work=1100.0), Amount(items=10, work=100.0), "items")
    now = 20.0
    lines.advance(Amount(items=10, work=500.0))
    now = 41.0
    lines.advance(Amount(items=90, work=500.0))
    lines.finish()
    assert out.getvalue().splitlines() == [
        "nf4 · ask: 110 items, 10 already there",
        "nf4 · ask: 20/110, 0.5 items/s, about 20 s left",
        "nf4 · ask: 110/110 in 41 s, 2.4 items/s",
    ]
