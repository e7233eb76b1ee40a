"""What a section says, in lines of plain text: the same that a format without a drawing of a block writes."""

from __future__ import annotations

from harness.reports.blocks import Section


def said(section: Section | None, *, short: bool = False) -> str:
    """Of all its blocks, or of those it shows in short; empty where the section is not shown."""
    if section is None:
        return ""
    blocks = section.short if short and section.short is not None else section.blocks
    return "\n".join(line for block in blocks for line in block.words())
