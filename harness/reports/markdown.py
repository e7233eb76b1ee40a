"""Blocks as GitHub/GitLab Markdown: a comment under a pull request or a job summary.

Text from a model or an engine is escaped so that it can form no markup, no table cell, no mention, no link.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from harness.notation import EMOJI
from harness.records.measures import Flip
from harness.records.verdict import Verdict
from harness.reports import blocks
from harness.reports.sections import SECTIONS, Row, arranged
from harness.shown import one_line, visible

FINDINGS_SHOWN = 20
LONGEST_ANSWER = 600
_MARKUP = re.compile(r"([\\`*_{}\[\]()!|~$^])")
_AT_START = re.compile(r"^(\s*)([-+]|\d+\.)(\s|$)")


def render_markdown(verdict: Verdict, rows: tuple[Row, ...] = SECTIONS) -> str:
    """Verdict sentence, one table row per candidate, the reasons, the blocks.first flips."""
    return "\n".join(line for section in arranged(verdict, "markdown", rows) for line in drawn(section))


def drawn(section: blocks.Section) -> Iterator[str]:
    """The lines of a section."""
    if section.title:
        yield from (f"### {escape(section.title)}", "")
    for block in section.blocks:
        yield from _block(block)


def escape(text: str, *, longest: int = 400) -> str:
    """One line of plain text. A zero-width space breaks mentions and issue numbers, an entity links."""
    escaped = html.escape(one_line(text, longest=longest), quote=False)
    escaped = _MARKUP.sub(r"\\\1", escaped)
    escaped = _AT_START.sub(r"\1\\\2\3", escaped)
    escaped = escaped.replace("@", "@\u200b").replace("#", "#\u200b")
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")


def _block(block: blocks.Block) -> Iterator[str]:
    match block:
        case blocks.Headline():
            mark = f"{EMOJI[block.decision]} " if block.judged and block.decision else ""
            yield from (f"## {mark}{block.word}: {escape(block.title)}", "", escape(block.rest))
            yield from [f"**{escape(block.warning)}**"] * bool(block.warning)
            yield ""
        case blocks.Paragraph():
            yield from (f"**{escape(block.text)}**" if block.strong else escape(block.text), "")
        case blocks.Lines():
            yield from _lines(block)
        case blocks.Table():
            yield from _table(block)
        case blocks.Flips():
            for flip in block.flips:
                yield from _flip(flip, block)
        case blocks.Outcomes():
            yield from _outcomes(block)
        case blocks.Footer():
            parts = [escape(part) + (f" ({escape(aside)})" if aside else "") for part, aside in block.parts]
            yield from (f"<sub>{' · '.join(parts)}</sub>", "")
        case blocks.Fold():
            summary = html.escape(one_line(f"{block.summary} {block.note}")).replace("##", "&#35;#")
            yield f"<details><summary>{summary}</summary>"
            yield ""
            for inner in block.blocks:
                yield from _block(inner)
            yield from ("</details>", "")
        case _:
            yield from (*(f"- {escape(line, longest=2000)}" for line in block.words()), "")


def _lines(block: blocks.Lines) -> Iterator[str]:
    lines = blocks.told(block.lines, "markdown")
    if block.title:
        yield from (f"**{escape(block.title)}**", "")
    for line in lines:
        about = ", ".join(line.about)
        if block.kind == "quiet":
            label = f"{escape(line.label)} ({escape(about)}): " if about else ""
            yield label + escape(line.text, longest=2000)
            continue
        label = f"{escape(line.label)}: " if line.label else ""
        about = f"{about}: " if about else ""
        yield f"{'1.' if block.kind == 'steps' else '-'} {label}{escape(about + line.text)}"
    if lines:
        yield ""


def _table(block: blocks.Table) -> Iterator[str]:
    detailed = any(column.detail for column in block.columns)
    split = [detailed and column.kind == "number" for column in block.columns]
    details = [f"<br>{escape(each.detail)}" if two else "" for each, two in zip(block.columns, split, strict=True)]
    titles = [escape(column.title) + detail for column, detail in zip(block.columns, details, strict=True)]
    yield f"| {' | '.join(titles)} |"
    yield f"| {' | '.join('---:' if column.kind == 'number' else '---' for column in block.columns)} |"
    blank = " |" * (len(titles) - 1)
    for group in block.groups:
        if group.heading:
            yield f"| **{' '.join(escape(cell.text) for cell in blocks.cells(group.heading))}** |{blank}"
        yield from (f"| {' | '.join(map(_cell, row))} |" for row in map(blocks.cells, group.rows))
        if group.note:
            yield f"| {escape(group.note)} |{blank}"
    yield ""


def _cell(cell: blocks.Cell) -> str:
    text = " ".join([cell.text, *(f"({tag})" for tag in cell.tags), *([cell.small] if cell.small else [])])
    return f"{EMOJI[cell.decision]} **{text}**" if cell.badge and cell.decision else escape(text)


def _outcomes(block: blocks.Outcomes) -> Iterator[str]:
    checks = [each for each in block.failed if each.kind == "check"]
    gates = [each for each in block.failed if each.kind == "gate"]
    shown, left_out = blocks.first(
        gates, blocks.telling([(each.on_slice, each.decision) for each in gates]), FINDINGS_SHOWN
    )
    if not checks and not gates:
        return
    yield from (f"**{escape(block.title)}**", "")
    for each in (*checks, *shown):
        warning = " (warning only)" if each.weight == "warn" else ""
        mark = "note" if each.weight == "note" else f"{EMOJI[each.decision]} {each.decision}{warning}"
        yield f"- {mark}: {escape(each.line)}"
    if left_out:
        yield f"- and {left_out:,} more on single slices"
    yield ""


def _flip(flip: Flip, block: blocks.Flips) -> Iterator[str]:
    """In a `pre` block nothing is read as Markdown, and mentions are not looked for. Entities keep a CI that
    sees the raw text from taking a line for a command."""
    texts = (("prompt", flip.prompt), ("expected", flip.expected))
    answers = ((block.baseline, flip.baseline_answer), (block.variant, flip.candidate_answer))
    yield from (f"{escape(flip.task)} {escape(flip.item)}", "", "<pre>")
    for name, text in (*texts, *answers):
        shown = visible(text, longest=LONGEST_ANSWER).replace("\n", "\n    ")
        escaped = html.escape(f"{one_line(name)}: {shown}")
        yield escaped.replace("::", "&#58;:").replace("##", "&#35;#")
    yield from ("</pre>", "")
