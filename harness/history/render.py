"""History as a table in the terminal, as CSV and as one HTML page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from harness.history.rows import HistoryRow

if TYPE_CHECKING:
    from rich.table import Table

_SPREADSHEET_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def history_table(rows: Sequence[HistoryRow]) -> Table:
    """One line per row, oldest first; a promoted version carries a star."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from harness.history.charts import bounds, shown
    from harness.report.terminal import STYLES, safe

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("run", "variant", "figure"):
        table.add_column(title, overflow="fold")
    table.add_column("change", justify="right", no_wrap=True)
    table.add_column("bounds", justify="right")
    table.add_column("gate")
    last = ""
    for row in rows:
        word = row.decision or ""
        table.add_row(
            Text(safe(row.run) if row.run != last else ""),
            Text(safe(row.variant) + (" ★" if row.accepted else "")),
            Text(safe(f"{row.task} {row.metric}")),
            Text(shown(row, row.change)),
            Text(bounds(row)),
            Text(word, style=STYLES.get(word, "")),
        )
        last = row.run
    return table


def history_csv(rows: Sequence[HistoryRow]) -> str:
    """A header and a line per row; numbers unrounded, a missing one empty."""
    names = [field.name for field in fields(HistoryRow)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in names])
    return out.getvalue()


def history_html(rows: Sequence[HistoryRow], *, title: str) -> str:
    """A self-contained page, a small chart per metric; `title`: the suite's name. Equal rows, equal bytes."""
    from harness.history.charts import bounds, charts, shown
    from harness.report.html.templating import render

    variants = tuple(dict.fromkeys(row.variant for row in rows))
    runs = tuple(dict.fromkeys(row.run for row in rows))
    return render(
        "history.html.j2",
        suite=title,
        rows=tuple(reversed(rows)),
        charts=charts(rows),
        variants=variants,
        runs=runs,
        shown=shown,
        bounds=bounds,
    )


def write_history(rows: Sequence[HistoryRow], path: Path, *, title: str) -> None:
    """Write the page to `path` by rename. Raises `RecordError` when it cannot be written."""
    from harness.records.store import write_atomically

    write_atomically(path, history_html(rows, title=title).encode())


def _cell(value: object) -> object:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if isinstance(value, str) and value.startswith(_SPREADSHEET_FORMULA):
        return f"'{value}"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else value
