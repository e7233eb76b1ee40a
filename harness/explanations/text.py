"""An explanation on a terminal, in a pipe, or as JSON. Nothing a model wrote is printed raw, and nothing is markup."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from harness.derivations.shapes import Condition, Section, Step
from harness.explanations.shapes import Explanation, FlipBeside, Table
from harness.notation import in_formula
from harness.records.measures import Flip
from harness.reports.terminal import STYLES, safe
from harness.reports.wording import limit_of
from harness.shown import visible, without_commands

SHORT = 160
"""Characters of a prompt or an answer that are shown without --full."""


def as_json(explanations: Sequence[Explanation]) -> str:
    """A list of explanations; infinite numbers are null."""
    return TypeAdapter(tuple[Explanation, ...]).dump_json(tuple(explanations), indent=1).decode()


def print_explanation(each: Explanation, console: Console, *, full: bool = False) -> None:
    """Title, reason, numbers, rule, changes, inputs."""
    _line(console, _title(each), 0)
    _line(console, safe(each.reason), 2)
    if each.method:
        console.print()
        _line(console, Text.assemble(("Method  ", "bold"), safe(each.method)), 0)
    for section in each.sections:
        _section(section, console)
    if each.conditions:
        _heading("Rule", console)
        for condition in each.conditions:
            _condition(condition, console)
        if not any(condition.holds for condition in each.conditions):
            _line(console, "neither holds: INCONCLUSIVE", 2)
    if each.changes:
        _heading("What would change it", console)
        for change in each.changes:
            _line(console, Text.assemble((f"{change.of}: ", "bold"), safe(change.says)), 2)
    _flips(each, console, full=full)
    for table in each.tables:
        _table(table, console)
    _where(each, console)
    for note in each.notes:
        _line(console, Text.assemble(("note", "yellow"), "  ", safe(note)), 0)
    console.print()


def _title(each: Explanation) -> Text:
    what = f"{each.task} {each.metric}" if each.task else each.metric
    where = "".join(f", {part}" for part in (each.slice, each.workload) if part)
    against = f" against {each.against}" if each.against else ""
    limit = limit_of(each.form, each.limit, each.unit)
    title = Text.assemble(
        (safe(each.gate), "bold"), f" {safe(each.name)}  " if each.name else "  ",
        (safe(f"{each.variant}{against}"), "bold"),
        f"  {safe(what + where)}, {limit}  ", (each.decision, STYLES.get(each.decision, "")),
    )  # fmt: skip
    if each.severity == "warn":
        title.append(" (warning only)")
    return title


def _heading(text: str, console: Console) -> None:
    console.print()
    _line(console, Text(text, style="bold"), 0)


def _line(console: Console, text: Text | str, indent: int, *, whole: bool = False) -> None:
    """Wrapped under itself on a terminal. Left in one piece in a pipe, and where it is to be copied (`whole`)."""
    said = text if isinstance(text, Text) else Text(text)
    lines = [said] if whole or not console.is_terminal else said.wrap(console, max(20, console.width - indent))
    for line in lines:
        line.rstrip()
        console.print(Text(" " * indent).append_text(line), soft_wrap=True)


def _section(section: Section, console: Console) -> None:
    _heading(section.title, console)
    for step in section.steps:
        _line(console, _first(step), 2)
        if step.formula and step.numbers != in_formula(step.value):
            _line(console, f"= {step.numbers}", 4)
        if step.formula:
            _line(console, f"= {in_formula(step.value)}", 4)


def _first(step: Step) -> Text:
    value = step.formula or in_formula(step.value)
    line = Text.assemble((step.symbol, "bold"), f" = {value}")
    if step.says:
        line.append(f"   {safe(step.says)}", style="dim")
    return line


def _condition(condition: Condition, console: Console) -> None:
    holds = "holds" if condition.holds else "does not hold"
    style = STYLES[condition.gives] if condition.holds else "dim"
    _line(console, Text.assemble(f"{condition.rule}: {condition.numbers}  ", (holds, style)), 2)


def _flips(each: Explanation, console: Console, *, full: bool) -> None:
    if each.flips_total is None:
        return
    shown = f"the first {len(each.flips)} of {each.flips_total:,}" if each.flips else f"{each.flips_total:,}"
    order = "; right to wrong first, largest change of margin first" if each.flips else ""
    _heading(f"Flipped items, {shown}{order}", console)
    for flip in each.flips:
        _flip(flip, each, console, full=full)


def _flip(flip: Flip, each: Explanation, console: Console, *, full: bool) -> None:
    slices = ", ".join(f"{field}={value}" for field, value in flip.slices.items())
    direction = flip.direction.replace("_", " ")
    head = Text.assemble((direction, "red" if flip.direction == "right_to_wrong" else "green"), f"  {safe(flip.item)}")
    if slices:
        head.append(f"  {safe(slices)}", style="dim")
    _line(console, head, 2)
    baseline = each.against or "baseline"
    base: tuple[tuple[str, str, float | None], ...] = ()
    if isinstance(flip, FlipBeside):
        baseline = flip.fine_tuned
        base = ((f"base, {'right' if flip.base_right else 'wrong'}", flip.base_answer, flip.base_margin),)
    rows = (
        ("prompt", flip.prompt, None),
        ("expected", flip.expected, None),
        *base,
        (baseline, flip.baseline_answer, flip.baseline_margin),
        (each.variant, flip.candidate_answer, flip.candidate_margin),
    )
    for name, text, margin in rows:
        line = Text.assemble((f"{safe(name)}: ", "bold"), _shown(text, full=full, keep_end=name == "prompt"))
        if margin is not None:
            line.append(f"   margin {in_formula(round(margin, 6))} nats", style="dim")
        _line(console, line, 4)


def _shown(text: str, *, full: bool, keep_end: bool) -> str:
    if full:
        return without_commands(visible(text))
    one = " ".join(visible(text).split())
    if len(one) > SHORT:
        one = f"… {one[-SHORT:]}" if keep_end else f"{one[:SHORT]} …"
    return without_commands(one) or "(empty)"


def _table(table: Table, console: Console) -> None:
    left_out = f", the first {len(table.rows)} of {table.total:,}" if len(table.rows) < table.total else ""
    _heading(f"{safe(table.title)}{left_out}", console)
    rich = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    for column, name in enumerate(table.columns):
        numeric = all(not isinstance(row[column], str) for row in table.rows)
        rich.add_column(safe(name), justify="right" if numeric else "left", overflow="fold")
    for row in table.rows:
        rich.add_row(*(Text(safe(cell) if isinstance(cell, str) else in_formula(cell)) for cell in row))
    console.print(rich)


def _where(each: Explanation, console: Console) -> None:
    if not each.places and not each.commands:
        return
    _heading("Where the numbers are", console)
    for place in each.places:
        _line(console, Text.assemble((f"{safe(place.what)}: ", "bold"), (safe(place.field), "dim")), 2)
        _line(console, safe(place.path), 4, whole=True)
    for command in each.commands:
        _line(console, safe(command), 2, whole=True)
