"""History in the terminal: a block per figure, a line per run, breaks between series, marks of shifts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.notation import DASH
from harness.trends.build import History
from harness.trends.figure_rows import HistoryRow, Line, line_of
from harness.trends.phrases import SHIFTS_SAY, bounds, meaning, shift_words, shown, title
from harness.trends.series import Shift

if TYPE_CHECKING:
    from rich.text import Text

SHORT_RUN = 15
"""`20260301-101500`: the beginning that still finds a run, where the line is narrow."""
GAP = "  "


@dataclass(frozen=True, kw_only=True)
class _Widths:
    variant: int
    run: int
    label: int
    change: int
    bounds: int


def history_text(history: History, *, width: int) -> Text:
    """Everything as lines of at most `width` columns, oldest run first in each block."""
    from rich.text import Text

    out = Text()
    blocks: dict[tuple[str, str], list[HistoryRow]] = {}
    for row in history.figures:
        if row.kind != "none":
            blocks.setdefault((row.task, row.metric), []).append(row)
    shifts = {(each.at_run, (each.variant, each.task, each.metric)): each for each in history.shifts}
    for rows in blocks.values():
        _block(out, rows, _widths(rows, width), shifts, width)
    _unmeasured(out, [row for row in history.figures if row.kind == "none"], width)
    for sentence in _ending(history):
        _wrapped(out, sentence, width, "")
    return out


def _widths(rows: Sequence[HistoryRow], width: int) -> _Widths:
    """Names are shortened first, then the run ids, then the bounds."""
    from rich.cells import cell_len

    def longest(texts: Iterable[str]) -> int:
        return max((cell_len(text) for text in texts), default=0)

    from harness.reports.terminal import safe

    change, between = longest(shown(row, row.change) for row in rows), longest(bounds(row) for row in rows)
    if all(bounds(row) == DASH for row in rows):
        between = 0
    run, label = longest(safe(row.run) for row in rows), longest(safe(row.label) for row in rows)
    variant = longest(safe(row.variant) for row in rows)
    state = longest(_state(row) for row in rows)
    rest = width - change - state - len(GAP) * (4 + bool(label)) - 2
    if rest - between - run < min(variant, 10) + min(label, 8):
        run = min(run, SHORT_RUN)
    if rest - between - run < min(variant, 6) + min(label, 6):
        between = 0
    rest = max(rest - between - run, 12)
    variant = max(min(variant, rest - min(label, rest // 2)), 4)
    return _Widths(variant=variant, run=run, label=min(label, max(rest - variant, 4)), change=change, bounds=between)


def _block(
    out: Text, rows: list[HistoryRow], widths: _Widths, shifts: Mapping[tuple[str, Line], Shift], width: int
) -> None:
    from harness.reports.terminal import safe

    out.append(_cut(safe(title(rows[0])), max(width - len(meaning(rows[0])) - 2, 12)), style="bold")
    out.append(f"{GAP}{meaning(rows[0])}\n", style="dim")
    indent = " " * (2 + widths.variant + len(GAP))
    for variant in dict.fromkeys(row.variant for row in rows):
        last = ""
        for row in rows:
            if row.variant != variant:
                continue
            if row.series_event is not None:
                mark = f"── series {row.series}: " if row.series_event.event == "new" else "── "
                _wrapped(out, mark + safe(row.series_reason), width, indent, style="yellow")
            shift = shifts.get((row.run, line_of(row)))
            if shift is not None:
                arrow = "▲" if shift.after > shift.before else "▼"
                _wrapped(out, f"{arrow} shift: {shift_words(shift)}", width, indent, style="bold")
            _line(out, row, "" if variant == last else safe(variant), widths)
            last = variant
    out.append("\n")


def _line(out: Text, row: HistoryRow, variant: str, widths: _Widths) -> None:
    from harness.reports.terminal import STYLES, safe

    out.append(GAP + _fit(variant, widths.variant) + GAP)
    out.append(_fit(safe(row.run), widths.run, cut="") + GAP, style="dim")
    if widths.label:
        out.append(_fit(safe(row.label), widths.label) + GAP)
    style = "" if row.series is not None else "dim"
    out.append(_fit(shown(row, row.change), widths.change, right=True) + GAP, style=style)
    if widths.bounds:
        out.append(_fit(bounds(row), widths.bounds, right=True) + GAP, style=style)
    out.append(row.decision or DASH, style=STYLES.get(row.decision or "", ""))
    out.append(_state(row)[len(row.decision or DASH) :] + "\n")


def _state(row: HistoryRow) -> str:
    """The gates' decision, then other remarks on the row."""
    marks = [" ★"] if row.accepted else []
    if row.verdict == "INVALID" and row.decision != "INVALID":
        marks.append(" INVALID run")
    elif row.outside is not None:
        marks.append(f" {row.outside.code}")
    return (row.decision or DASH) + "".join(marks)


def _unmeasured(out: Text, rows: Sequence[HistoryRow], width: int) -> None:
    from harness.reports.terminal import safe

    if not rows:
        return
    out.append("without any figure\n", style="bold")
    for row in rows:
        label = f" {row.label}" if row.label else ""
        _wrapped(out, safe(f"{row.variant}{GAP}{row.run}{label}: {row.verdict}: {row.note}"), width, GAP)
    out.append("\n")


def _ending(history: History) -> Iterator[str]:
    """A legend of the marks that occur, and what is not shown."""
    if any(row.accepted for row in history.figures):
        yield "★ promoted."
    codes = {row.outside.code for row in history.figures if row.outside is not None}
    if "partial" in codes:
        yield "partial: made with --limit, not all items of the task; in no series."
    if "stopped" in codes:
        yield "stopped: stopped early, not all items of the task; in no series."
    if history.shifts:
        yield SHIFTS_SAY
    for skipped in history.skipped:
        yield f"skipped {skipped.reason}"
    if len(history.runs) < history.runs_in_all:
        yield (
            f"The last {len(history.runs)} of {history.runs_in_all} runs; --last {history.runs_in_all} shows all, "
            "--html, --csv and --json hold them."
        )


def _wrapped(out: Text, text: str, width: int, indent: str, style: str = "") -> None:
    lines = textwrap.wrap(text, max(width, 40), initial_indent=indent, subsequent_indent=indent + GAP)
    for line in lines:
        out.append(line + "\n", style=style)


def _fit(text: str, size: int, *, right: bool = False, cut: str = "…") -> str:
    """`text` on exactly `size` columns."""
    from rich.cells import cell_len

    text = _cut(text, size, cut)
    blank = " " * (size - cell_len(text))
    return blank + text if right else text + blank


def _cut(text: str, size: int, cut: str = "…") -> str:
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= size else set_cell_size(text, size - len(cut)).rstrip() + cut
