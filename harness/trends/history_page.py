"""History as sections of plain blocks, and as one self-contained HTML page. Equal histories give equal bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.notation import DASH, count, level
from harness.reports.blocks import (
    Block,
    Cell,
    Column,
    Footer,
    Headline,
    Mark,
    Panels,
    Paragraph,
    Row,
    Section,
    badge,
    numbers,
    table,
    titled,
)
from harness.reports.charts.lines import COLOURS
from harness.trends import line_charts, phrases
from harness.trends.build import History, HistoryRun
from harness.trends.figure_rows import HistoryRow
from harness.trends.series import Shift

ROWS_SHOWN = 400
"""Figures in the page's table, the newest; the charts show all."""
BREAKS_SHOWN = 100
CLOSE_RUNS = 40
"""With more runs than this a chart takes the page's whole width."""
RUN = Column("Run", kind="unbroken")
KEY: tuple[tuple[Mark, str], ...] = (
    ("hollow", "in no series: partial, stopped early or INVALID"),
    ("ring", "promoted"),
    ("break", "new series"),
    ("shift", "shift of level"),
)


def history_html(history: History) -> str:
    """The page: charts, shifts, series, runs, the newest figures."""
    from harness.reports.html import drawn

    return drawn(f"History · {history.suite}", sections(history), links=False)


def write_history(history: History, path: Path) -> None:
    """Write the page to `path` by rename. Raises `RecordError` when it cannot be written."""
    from harness.records.store import write_atomically

    write_atomically(path, history_html(history).encode())


def sections(history: History) -> Iterator[Section]:
    """In the page's order."""
    yield Section(blocks=(_headline(history), *_charts(history)))
    yield from _shifts(history)
    yield from _series(history)
    yield _runs(history)
    yield from _figures(history)
    yield Section(blocks=(Footer(parts=(("Made by quantgate from saved verdicts.", ""),)),))


def _headline(history: History) -> Headline:
    told = [(history.runs, "run"), (line_charts.variants_of(history), "variant")]
    parts = [count(len(each), name) for each, name in told]
    parts += [f"{count(len(history.shifts), 'shift')} of level"] if history.shifts else []
    return Headline(
        title=history.suite,
        about="history",
        sentence=", ".join(parts),
        note="Every version is compared with the full-precision baseline of its own run; differences between versions "
        "are never added up. Bars are one-sided bounds on both sides. A line breaks where the suite, the engine or, "
        "for speed and memory, the host is another: figures before and after are no series.",
    )


def _charts(history: History) -> Iterator[Block]:
    charts = line_charts.charts(history)
    variants = enumerate(line_charts.variants_of(history))
    lines: list[tuple[Mark, str]] = [(index % COLOURS, variant) for index, variant in variants]
    yield Panels(panels=charts, key=(*lines, *KEY), width="one" if len(history.runs) > CLOSE_RUNS else "")
    if not charts:
        yield Paragraph("No run of this suite has measured anything yet.", quiet=False)


def _named(run: str, label: str) -> Cell:
    return Cell(run, tags=(label,) if label else ())


def _shifts(history: History) -> Iterator[Section]:
    columns = (
        Column("First run on the new level", label="New level", kind="unbroken"),
        Column("Last on the old", label="Old level", kind="unbroken"),
        "Variant",
        "Figure",
        Column("Shift", kind="sentence"),
    )
    labels = {run.run: run.label for run in history.runs}
    if history.shifts:
        marked = table(columns, *(_shift(shift, labels) for shift in history.shifts))
        yield Section(name="shifts", title="Shifts of level", blocks=(Paragraph(phrases.SHIFTS_SAY), marked))


def _shift(shift: Shift, labels: dict[str, str]) -> Row:
    return (
        _named(shift.at_run, labels[shift.at_run]),
        _named(shift.after_run, labels.get(shift.after_run, "")),
        shift.variant,
        f"{shift.task} {shift.metric}".strip(),
        phrases.shift_words(shift),
    )


def _series(history: History) -> Iterator[Section]:
    """Newest first; a reason that several figures share is listed once."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in history.figures:
        if row.series_event is not None:
            name = f"{row.variant} {row.task} {row.metric}".replace("  ", " ")
            found.setdefault((row.run, row.label, row.series_reason), []).append(name)
    rows = []
    for (run, label, reason), names in reversed(found.items()):
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        rows.append((_named(run, label), reason, f"{', '.join(names[:4])}{more}"))
    columns = (RUN, Column("What changed", label="Changed", kind="sentence"), Column("Figures", kind="sentence"))
    about = Paragraph(
        "Where a figure's conditions changed; it goes on in an earlier series when its conditions are back. "
        "Newest first."
    )
    left_out = Paragraph(f"The newest {BREAKS_SHOWN} of {len(rows)}; all are in the CSV.")
    blocks: tuple[Block, ...] = (
        about,
        table(columns, *rows[:BREAKS_SHOWN]),
        *([left_out] if len(rows) > BREAKS_SHOWN else []),
    )
    if rows:
        yield Section(name="series", title="Series", blocks=blocks)


def _runs(history: History) -> Section:
    columns = (RUN, Column("Started (UTC)", label="Started"), "Verdict", "Host", "")
    unmeasured = reversed([row for row in history.figures if row.kind == "none"])
    said = [f"{row.variant} in {row.run}: {row.verdict}, no figure. {row.note}" for row in unmeasured]
    said += [f"Skipped: {each.reason}" for each in history.skipped]
    runs = table(columns, *(_run(run) for run in reversed(history.runs)))
    notes = [Paragraph(text) for text in said]
    return Section(name="runs", title="Runs", blocks=(Paragraph("Newest first."), runs, *notes))


def _run(run: HistoryRun) -> Row:
    limit = f", --limit {run.limit}" if run.limit else ""
    promoted = (f"promoted {', '.join(run.promoted)}",) if run.promoted else ()
    return (
        _named(run.run, run.label),
        run.started_at[:16].replace("T", " "),
        badge(run.decision),
        run.host[:8],
        Cell(tags=(*promoted, f"partial{limit}") if run.partial else promoted),
    )


def _figures(history: History) -> Iterator[Section]:
    columns = titled(RUN, "Variant", "Figure", *numbers("Baseline", "Candidate", "Change"), "Series", "Gate")
    measured = [row for row in history.figures if row.kind != "none"]
    shown = measured[-ROWS_SHOWN:]
    more = f"; {len(shown):,} of {len(measured):,}, all are in the CSV and the JSON" if shown != measured else ""
    rows = table(columns, *(_figure(row) for row in reversed(shown)))
    if measured:
        about = Paragraph(f"Newest run first{more}.")
        yield Section(name="rows", title="Figures", blocks=(about, rows))


def _figure(row: HistoryRow) -> Row:
    bounded = row.lower is not None and row.upper is not None
    tags = (*([row.note] if row.note else []), *(["shift"] if row.shift is not None else []))
    return (
        _named(row.run, row.label),
        Cell(row.variant, tags=("promoted",) if row.accepted else ()),
        phrases.title(row),
        level(row.baseline, row.unit),
        level(row.candidate, row.unit),
        Cell(phrases.shown(row, row.change), small=phrases.bounds(row) if bounded else ""),
        Cell(str(row.series or DASH), tags=tags),
        Cell(row.decision or DASH, decision=row.decision, badge=row.decision is not None),
    )
