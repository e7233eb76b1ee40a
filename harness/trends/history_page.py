"""History as one self-contained HTML page. Equal histories give equal bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.trends import phrases
from harness.trends.build import History
from harness.trends.figure_rows import HistoryRow
from harness.trends.series import Shift

ROWS_SHOWN = 400
"""Figures in the page's table, the newest; the charts show all."""
CLOSE_RUNS = 40
"""With more runs than this a chart takes the page's whole width."""


@dataclass(frozen=True, kw_only=True)
class Break:
    """A run at which series begin for one reason, and for how many figures."""

    run: str
    label: str
    reason: str
    figures: tuple[str, ...]


def history_html(history: History) -> str:
    """The page: charts, shifts, series, runs, the newest figures."""
    from harness.reports.html.templating import render
    from harness.trends import line_charts

    labels = {run.run: run.label for run in history.runs}
    figures = [row for row in history.figures if row.kind != "none"]
    return render(
        "history.html.j2",
        history=history,
        charts=line_charts.charts(history),
        variants=line_charts.variants_of(history),
        wide=len(history.runs) > CLOSE_RUNS,
        shifts=history.shifts,
        breaks=_breaks(history),
        breaks_listed=line_charts.BREAKS_LISTED,
        runs=tuple(reversed(history.runs)),
        rows=tuple(reversed(figures[-ROWS_SHOWN:])),
        rows_in_all=len(figures),
        unmeasured=tuple(reversed([row for row in history.figures if row.kind == "none"])),
        labels=labels,
        words=phrases,
        shift_title=_shift_title,
    )


def write_history(history: History, path: Path) -> None:
    """Write the page to `path` by rename. Raises `RecordError` when it cannot be written."""
    from harness.records.store import write_atomically

    write_atomically(path, history_html(history).encode())


def _shift_title(shift: Shift) -> str:
    return f"{shift.task} {shift.metric}".strip()


def _breaks(history: History) -> tuple[Break, ...]:
    """Newest first; a reason that several figures share stands once."""
    found: dict[tuple[str, str, str], list[HistoryRow]] = {}
    for row in history.figures:
        if row.series_reason:
            found.setdefault((row.run, row.label, row.series_reason), []).append(row)
    breaks = [
        Break(
            run=run,
            label=label,
            reason=reason,
            figures=tuple(f"{row.variant} {row.task} {row.metric}".replace("  ", " ") for row in rows),
        )
        for (run, label, reason), rows in found.items()
    ]
    return tuple(reversed(breaks))
