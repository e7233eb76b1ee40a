"""Blocks in a terminal, read in ten seconds. Decisions are words first and colours second.

Columns that do not fit are dropped, quality last; nothing a model wrote is printed raw.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.notation import shortened
from harness.records.verdict import Verdict
from harness.reports import blocks
from harness.reports.sections import SECTIONS, Row, arranged
from harness.shown import one_line, without_commands

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


def render_terminal(verdict: Verdict) -> str:
    """As `print_verdict`, for standard output as it is."""
    console = Console()
    with console.capture() as captured:
        print_verdict(verdict, console)
    return captured.get()


def print_verdict(verdict: Verdict, console: Console, rows: tuple[Row, ...] = SECTIONS) -> None:
    """One row per candidate, then every finding that is not PASS with its reason, then the verdict."""
    draw(arranged(verdict, "terminal", rows), console, "terminal")


def print_measures(verdict: Verdict, console: Console) -> None:
    """Every measure of every candidate and the baseline, without a judgement."""
    draw(arranged(verdict, "compare"), console, "compare")


def draw(sections: Iterator[blocks.Section], console: Console, audience: blocks.Audience) -> None:
    """A blank line, then every section and a blank line after each of its parts."""
    console.print()
    for section in sections:
        if section.title:
            console.print(Text(safe(section.title), style="bold"))
        for block in section.blocks:
            _draw(block, console, audience)


def safe(text: str) -> str:
    """A sentence that may quote a model or an engine."""
    return without_commands(one_line(text))


def name_of(text: str) -> str:
    """A name, cut to what a column holds."""
    return shortened(text, LONGEST_NAME)


def _draw(block: blocks.Block, console: Console, audience: blocks.Audience) -> None:
    """A blank line after it, unless it says nothing here."""
    said = True
    match block:
        case blocks.Headline():
            console.print(_headline(block))
        case blocks.Table():
            said = _titled_table(block, console)
        case blocks.Lines():
            said = _lines(block, console, audience)
        case blocks.Outcomes():
            said = _outcomes(block, console)
        case _:
            for line in block.words():
                console.print(Text(f"  {safe(line)}"))
    if said:
        console.print()


def _headline(block: blocks.Headline) -> Text:
    style = STYLES[block.decision] if block.judged and block.decision else "bold"
    warning = (f" {block.warning}" if block.warning else "", "bold")
    return Text.assemble((block.word, style), f"  {safe(block.rest)}", warning)


def _lines(block: blocks.Lines, console: Console, audience: blocks.Audience) -> bool:
    lines = blocks.told(block.lines, audience)
    if block.title:
        console.print(Text(safe(block.title), style="bold"))
    for number, line in enumerate(lines, start=1):
        about = f"{', '.join(map(name_of, line.about))}: " if line.about else ""
        said = safe(f"{about}{line.text}")
        if block.kind == "titled":
            _indented(Text(name_of(line.label)), said, console)
        elif block.kind == "steps":
            console.print(Text(f"{number:>3}. {said}"))
        elif line.label:
            label = (line.label, "yellow" if block.kind == "note" else "dim")
            console.print(Text.assemble(label, f"  {said}"))
        else:
            console.print(Text(said, style="dim"))
    return bool(lines or block.title)


def _outcomes(block: blocks.Outcomes, console: Console) -> bool:
    """What did not pass; the variant's own sentence where neither a gate nor a check says why."""
    failed = [each for each in block.failed if each.weight != "note"]
    checks = [each for each in failed if each.kind == "check"]
    gates = [each for each in failed if each.kind == "gate"]
    shown, left_out = blocks.first(
        gates, blocks.telling([(each.on_slice, each.decision) for each in gates]), MOST_FINDINGS
    )
    reasons = []
    for each in (*checks, *shown):
        warning = " (warning only)" if each.weight == "warn" else ""
        reasons.append((Text.assemble(_word(each.decision), warning), each.line))
    if left_out:
        reasons.append((Text(""), f"and {left_out:,} more on single slices; the report and verdict.json have them all"))
    if not reasons and block.otherwise:
        reasons.append((Text(""), block.otherwise))
    if reasons:
        console.print(Text(name_of(block.title), style="bold"))
    for mark, says in reasons:
        _indented(mark, safe(says), console)
    return bool(reasons)


def _indented(mark: Text, says: str, console: Console) -> None:
    line = Text.assemble(mark, "  " if mark else "", says)
    console.print(Padding(line, (0, 0, 0, 2), expand=False))


def _fitting(block: blocks.Table, width: int) -> Table:
    """All columns, or as many as fit."""
    shown = list(range(len(block.columns)))
    table = _table(block, shown)
    while _needs(table) > width:
        ranked = [place for place in reversed(shown) if block.columns[place].rank]
        if not ranked:
            break
        shown.remove(max(ranked, key=lambda place: block.columns[place].rank))
        table = _table(block, shown)
    return table


def _titled_table(block: blocks.Table, console: Console) -> bool:
    if not any(group.rows for group in block.groups):
        return False
    if block.title:
        console.print(Text(safe(block.title), style="bold"))
    console.print(_fitting(block, console.width))
    if block.note:
        console.print(Text(f"  {safe(block.note)}"))
    return True


def _needs(table: Table) -> int:
    """Columns of text the table takes when nothing is wrapped."""
    wide = Console(width=1000, file=None, color_system=None)
    return wide.measure(table).maximum


def _table(block: blocks.Table, shown: list[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    detailed = any(column.detail for column in block.columns)
    for place in shown:
        column = block.columns[place]
        title = f"against {name_of(block.against)}" if block.against and place == 0 else name_of(column.title)
        header = Text(title)
        if detailed and column.kind == "number":
            header.append(f"\n{column.detail}", style="dim")
        justify: JustifyMethod = "right" if column.kind == "number" else "left"
        whole = not block.wraps and place > 0
        table.add_column(header, justify=justify, overflow="ellipsis" if whole else "fold", no_wrap=whole)
    for group in block.groups:
        if group.heading:
            table.add_row(
                *(Text(name_of(cell.text), style="bold") for cell in blocks.cells(group.heading)[: len(shown)])
            )
        for row in map(blocks.cells, group.rows):
            table.add_row(*(_cell(block.columns[place], row[place]) for place in shown))
        if group.note:
            table.add_row(Text(safe(group.note), style="dim"))
    return table


def _cell(column: blocks.Column, cell: blocks.Cell) -> Text:
    text = name_of(cell.text) if column.kind == "name" else safe(cell.text)
    more = [*(f"({safe(tag)})" for tag in cell.tags), *([safe(cell.small)] if cell.small else [])]
    text = " ".join([text, *more])
    if cell.decision and (cell.badge or column.kind == "unbroken"):  # where words stand, the decision is the word
        return _word(cell.decision)
    plain = cell.decision in (None, "PASS")
    return Text(text, style="" if plain else STYLES[str(cell.decision)].removeprefix("bold "))


def _word(decision: str) -> Text:
    return Text(decision, style=STYLES[decision])
