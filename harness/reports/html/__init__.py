"""Blocks as one HTML file: no script, no outside address, light and dark, for print and phones.

Jinja escapes everything (autoescape, undefined names are errors); charts are SVG in the page's own colours.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.records.verdict import Verdict
from harness.reports.blocks import Section
from harness.reports.sections import SECTIONS, Row, arranged


def render_html(verdict: Verdict, rows: tuple[Row, ...] = SECTIONS) -> str:
    """The whole page. Equal verdicts give equal bytes."""
    return drawn(f"{verdict.headline} · {verdict.suite} · {verdict.run}", arranged(verdict, "html", rows))


def drawn(title: str, sections: Iterable[Section], *, links: bool = True) -> str:
    """Sections as a page: what has no title stands at its head, or at its foot where it comes after the others.

    `links`: to each section, at the head.
    """
    from harness.reports.html.templating import render

    found = list(sections)
    titled = [section for section in found if section.title]
    place = found.index(titled[0]) if titled else len(found)
    loose = [section for section in found[place:] if not section.title]
    return render("page.html.j2", title=title, head=found[:place], sections=titled, foot=loose, links=links)
