"""The sections of a report, a file each: what they say, once for every format. `SECTIONS` says who sees them where.

A section is a function of the verdict that gives blocks (`harness.reports.blocks`), or None where there is nothing to
show. It formats what the verdict holds and computes nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from harness.records.verdict import Verdict
from harness.reports.blocks import Audience, Block, Fold, Section
from harness.reports.sections import (
    all_measures,
    checks,
    compared,
    cost,
    divergence,
    drops,
    environment,
    flips,
    footer,
    gates,
    headline,
    method,
    most_divergent,
    noise,
    notes,
    overview,
    reasons,
    retained,
    slices,
    tradeoff,
    versions,
)

FULL: tuple[Audience, ...] = ("html", "compare")
"""Who gets every block; everybody else reads a section in short."""


@dataclass(frozen=True)
class Row:
    """A section and its place in each format, counted from the top; without a place it is not shown there.

    Sections at one place are read variant by variant.
    """

    section: Callable[[Verdict], Section | None]
    places: dict[Audience, int]


SECTIONS = (
    Row(headline.section, {"html": 1, "markdown": 1, "annotations": 9, "terminal": 9}),
    Row(overview.section, {"html": 2, "markdown": 2, "terminal": 1}),
    Row(reasons.section, {"markdown": 3, "junit": 1, "annotations": 1, "terminal": 2}),
    Row(notes.section, {"markdown": 4, "annotations": 2, "terminal": 4}),
    Row(gates.section, {"html": 3}),
    Row(versions.section, {"html": 4}),
    Row(tradeoff.section, {"html": 5}),
    Row(drops.section, {"html": 6}),
    Row(retained.section, {"html": 7, "markdown": 5, "terminal": 3}),
    Row(slices.section, {"html": 11, "markdown": 6}),
    Row(flips.section, {"html": 8, "markdown": 6}),
    Row(divergence.section, {"html": 9}),
    Row(most_divergent.section, {"html": 10, "markdown": 6}),
    Row(most_divergent.few, {"terminal": 5}),
    Row(all_measures.section, {"html": 12}),
    Row(cost.section, {"html": 13}),
    Row(checks.section, {"html": 14}),
    Row(noise.section, {"html": 15, "markdown": 7, "terminal": 6}),
    Row(environment.section, {"html": 16}),
    Row(method.section, {"html": 17}),
    Row(footer.section, {"html": 18, "markdown": 8}),
    Row(compared.section, {"compare": 1}),
)


def arranged(verdict: Verdict, audience: Audience, rows: tuple[Row, ...] = SECTIONS) -> Iterator[Section]:
    """What this audience sees of a verdict, in its order, each section with the blocks that it gets."""
    places = sorted({row.places[audience] for row in rows if audience in row.places})
    variants = [candidate.variant for candidate in verdict.candidates]
    for place in places:
        made = [row.section(verdict) for row in rows if row.places.get(audience) == place]
        found = [_cut(section, audience) for section in made if section is not None]
        if len(found) > 1:
            blocks = [block for section in found for block in section.blocks]
            found = [replace(found[0], blocks=tuple(sorted(blocks, key=lambda block: _subject(block, variants))))]
        yield from (section for section in found if section.blocks)


def _cut(section: Section, audience: Audience) -> Section:
    """Without a title where it is drawn in short: that stands for itself."""
    if audience in FULL or section.short is None:
        return section
    return replace(section, blocks=section.short, title="")


def _subject(block: Block, variants: list[str]) -> int:
    known = isinstance(block, Fold) and block.subject in variants
    return variants.index(block.subject) if isinstance(block, Fold) and known else len(variants)
