"""History for other programs: CSV, a line per figure, and JSON, everything."""

from __future__ import annotations

import csv
import io
from dataclasses import fields

from harness.shown import not_a_formula
from harness.trends.build import History
from harness.trends.figure_rows import WRITTEN_AS, HistoryRow


def history_csv(history: History) -> str:
    """A header and a line per row; numbers unrounded, a missing one empty. New columns come at the end."""
    names = [WRITTEN_AS.get(field.name, field.name) for field in fields(HistoryRow)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in history.figures:
        writer.writerow([_cell(getattr(row, name)) for name in names])
    return out.getvalue()


def history_json(history: History) -> str:
    """`History` as JSON: numbers unrounded, null where one is not available."""
    from pydantic import TypeAdapter

    return TypeAdapter(History).dump_json(history, indent=1, by_alias=True).decode() + "\n"


def _cell(value: object) -> object:
    if isinstance(value, str):
        return not_a_formula(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else value
