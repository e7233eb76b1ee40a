"""`quantgate history`: the runs of a suite over time as text, CSV, JSON and a page. The exit code says nothing of
quality: it is 0 whenever there was something to show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from rich.console import Console

from harness import api
from harness.errors import UsageError
from harness.trends import Selection, history_csv, history_json, history_text

LAST = 20
"""Runs that the terminal shows without `--last`."""


def print_history(
    suite: str, results: Path, *, selection: Selection, page: Path | None, form: Literal["text", "csv", "json"]
) -> None:
    """The runs of a suite over time on stdout, and as a page where one is asked for.

    Raises `UsageError` for a selection that fits nothing, `RecordError` when no run could be read.
    """
    if selection.last is not None and selection.last < 1:
        raise UsageError(f"--last: expected an integer of at least 1, got {selection.last}")
    found = api.history(suite, results=results, selection=selection)
    if form == "csv":
        print(history_csv(found), end="")
    elif form == "json":
        print(history_json(found), end="")
    else:
        console = Console()
        recent = found if selection.last is not None else found.last(LAST)
        console.print(history_text(recent, width=console.width), soft_wrap=True, end="")
    if form == "csv":
        for skipped in found.skipped:
            print(f"skipped {skipped.reason}", file=sys.stderr)
    if page is not None:
        from harness.trends.history_page import write_history

        write_history(found, page)
        print(f"plots    {page}", file=sys.stdout if form == "text" else sys.stderr)
