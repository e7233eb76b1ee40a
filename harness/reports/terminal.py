"""The verdict in a terminal, read in ten seconds. Decisions are words first and colours second.

Columns that do not fit are left out, last the quality; nothing a model wrote is printed raw.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.notation import DASH, level, ratio
from harness.records.findings import Check, Finding, FindingDecision
from harness.records.measures import Measure
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import figures, retained_lines
from harness.reports.headline import Column, columns
from harness.reports.noise_lines import noise_line
from harness.reports.safe_text import one_line, without_commands
from harness.reports.slice_lines import moved_words, telling

STYLES: dict[str, str] = {
    "PASS": "bold green",
    "FAIL": "bold red",
    "INCONCLUSIVE": "bold yellow",
    "INVALID": "bold magenta",
    "WAIVED": "bold cyan",
}
LONGEST_NAME = 24
MOST_FINDINGS = 12
"""Findings of one variant that are printed; further ones on slices are counted."""
MOST_MOVED = 3


def print_verdict(verdict: Verdict, console: Console) -> None:
    """One row per candidate, then every finding that is not PASS with its reason, then the verdict."""
    console.print()
    if verdict.candidates:
        console.print(_fitting_table(verdict, console.width))
        console.print()
    name = f"{verdict.baseline} (baseline)"
    _print_reasons(name, verdict.baseline_findings, verdict.baseline_checks, "", console)
    for each in verdict.candidates:
        told = each.decision == "PASS" or (verdict.report_only and each.decision != "INVALID")
        sentence = "" if told else each.sentence
        _print_reasons(each.variant, each.findings, each.checks, sentence, console)
    _print_retained(verdict, console)
    _print_notes(verdict, console)
    if verdict.noise is not None:
        line = Text.assemble(("noise floor", "dim"), f"  {safe(noise_line(verdict.noise))}")
        console.print(line)
        console.print()
    hint = figures.explain_hint(verdict)
    if hint:
        console.print(Text(safe(hint), style="dim"))
        console.print()
    summary = Text()
    summary.append(verdict.headline, style="bold" if verdict.report_only else STYLES[verdict.decision])
    summary.append("  ")
    summary.append(safe(figures.sentence(verdict)))
    if verdict.partial:
        summary.append(" A partial run: not the whole suite.", style="bold")
    console.print(summary)
    console.print()


def print_measures(verdict: Verdict, console: Console) -> None:
    """Every measure of every candidate beside the baseline, without a judgement."""
    for candidate in verdict.candidates:
        console.print()
        console.print(Text(f"{name_of(candidate.variant)} against {name_of(verdict.baseline)}", style="bold"))
        if candidate.measures:
            console.print(_measure_table(candidate.measures, console.width))
        if candidate.speed:
            console.print()
            console.print(_speed_table(candidate))
        if candidate.flips_total:
            flips = ", ".join(f"{name_of(task)} {total}" for task, total in candidate.flips_total.items())
            console.print(Text(f"  flips: {flips}"))
        if not candidate.measures and not candidate.speed:
            console.print(Text(f"  {safe(candidate.sentence)}"))
    console.print()


def safe(text: str) -> str:
    """A sentence that may quote a model or an engine."""
    return without_commands(one_line(text))


def name_of(text: str) -> str:
    """A name, cut to what a column holds."""
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"


def _fitting_table(verdict: Verdict, width: int) -> Table:
    shown = list(columns(verdict))
    table = _table(verdict, shown)
    while shown and _needs(table) > width:
        shown.remove(max(reversed(shown), key=lambda column: column.rank))
        table = _table(verdict, shown)
    return table


def _needs(table: Table) -> int:
    """Columns of text the table takes when nothing is wrapped."""
    wide = Console(width=1000, file=None, color_system=None)
    return wide.measure(table).maximum


def _table(verdict: Verdict, shown: list[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(f"against {name_of(verdict.baseline)}", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for column in shown:
        header = Text(name_of(column.title))
        header.append(f"\n{column.detail}", style="dim")
        table.add_column(header, justify="right", no_wrap=True)
    for index, candidate in enumerate(verdict.candidates):
        cells = [column.cells[index] for column in shown]
        table.add_row(
            Text(name_of(candidate.variant)),
            _word(candidate.decision),
            *(Text(cell.text, style=_cell_style(cell.decision)) for cell in cells),
        )
    return table


def _word(decision: FindingDecision) -> Text:
    return Text(decision, style=STYLES[decision])


def _cell_style(decision: FindingDecision | None) -> str:
    return "" if decision in (None, "PASS") else STYLES[str(decision)].removeprefix("bold ")


def _print_reasons(
    name: str, findings: tuple[Finding, ...], checks: tuple[Check, ...], sentence: str, console: Console
) -> None:
    """What did not pass; the candidate's sentence where neither a gate nor a check says why."""
    reasons = [(_word("INVALID"), f"{check.name}: {check.says}") for check in checks if not check.held and check.blocks]
    said, left_out = telling([finding for finding in findings if finding.decision != "PASS"], MOST_FINDINGS)
    for finding in said:
        warning = " (warning only)" if finding.severity == "warn" else ""
        reasons.append((Text.assemble(_word(finding.decision), warning), figures.reason(finding)))
    if left_out:
        reasons.append((Text(""), f"and {left_out:,} more on single slices; the report and verdict.json have them all"))
    if not reasons and sentence:
        reasons.append((Text(""), sentence))
    if not reasons:
        return
    console.print(Text(name_of(name), style="bold"))
    for mark, says in reasons:
        _print_reason(mark, says, console)
    console.print()


def _print_notes(verdict: Verdict, console: Console) -> None:
    """Checks that did not hold and do not block, each once with the variants it is about."""
    notes: dict[str, list[str]] = {}
    sides = [(verdict.baseline, verdict.baseline_checks)]
    for name, checks in [*sides, *((each.variant, each.checks) for each in verdict.candidates)]:
        for check in checks:
            if not check.held and not check.blocks:
                notes.setdefault(f"{check.name}: {check.says}", []).append(name_of(name))
    for says, names in notes.items():
        line = Text.assemble(("note", "yellow"), f"  {', '.join(names)}: ", safe(says))
        console.print(line)
    others = [*figures.task_notes(verdict), *figures.waiver_notes(verdict), *figures.change_notes(verdict)]
    for each in verdict.candidates:
        moved = moved_words(each, MOST_MOVED)
        others += [f"{name_of(each.variant)}: {moved} (decides nothing)"] if moved else []
        others += [f"{name_of(each.variant)}: {says}" for says in figures.creep_notes(each)]
    for says in others:
        console.print(Text.assemble(("note", "yellow"), "  ", safe(says)))
    if notes or others:
        console.print()


def _print_retained(verdict: Verdict, console: Console) -> None:
    """What is kept of the fine-tuning gain, a line a candidate."""
    title = retained_lines.heading(verdict)
    if title is None or verdict.base is None:
        return
    console.print(Text(safe(title), style="bold"))
    for candidate in verdict.candidates if verdict.base.note is None else ():
        if (line := retained_lines.line(candidate)) is not None:
            _print_reason(Text(name_of(candidate.variant)), line, console)
    console.print()


def _print_reason(mark: Text, says: str, console: Console) -> None:
    line = Text.assemble(mark, "  " if mark else "", safe(says))
    console.print(Padding(line, (0, 0, 0, 2), expand=False))


def _measure_table(measures: tuple[Measure, ...], width: int) -> Table:
    """All columns, or as many of the first as fit."""
    titles = ("task", "metric", "baseline", "candidate", "change", "bounds", "n", "worse/better")
    rows = [_measure_cells(measure) for measure in measures]
    for count in range(len(titles), 4, -1):
        table = _plain_table(titles[:count], rows)
        if _needs(table) <= width:
            break
    return table


def _measure_cells(measure: Measure) -> tuple[str, ...]:
    return (
        name_of(measure.task),
        name_of(measure.metric),
        level(measure.baseline, measure.unit),
        level(measure.candidate, measure.unit),
        "" if measure.kind == "divergence" else figures.change(measure, measure.change),
        figures.change_interval(measure),
        f"{measure.n:,}",
        "" if measure.right_to_wrong is None else f"{measure.right_to_wrong}/{measure.wrong_to_right}",
    )


def _plain_table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    """Two columns of names, then figures."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for index, title in enumerate(titles):
        table.add_column(title, justify="left" if index < 2 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row[: len(titles)]))
    return table


def _speed_table(candidate: CandidateVerdict) -> Table:
    titles = ("workload", "metric", "baseline", "candidate", "ratio", "bounds")
    rows = [
        (
            row.workload,
            row.metric,
            level(row.baseline, row.unit),
            level(row.candidate, row.unit),
            DASH if row.ratio is None else ratio(row.ratio),
            figures.speed_interval(row),
        )
        for row in candidate.speed
    ]
    return _plain_table(titles, rows)
