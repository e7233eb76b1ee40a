"""The one Jinja environment of the HTML pages: strict about names, escaping always on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from harness.notation import MARKS
from harness.reports.blocks import cells, told
from harness.reports.charts.lines import BREAKS_LISTED
from harness.shown import one_line, visible

if TYPE_CHECKING:
    from jinja2 import Environment

LONGEST = 2000
"""Characters of a sentence of ours."""


def render(template: str, **values: object) -> str:
    """The named template with these values. Raises jinja2's errors: a broken template is a bug of ours."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness.reports.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        visible=visible,
        line=lambda text: one_line(text, longest=LONGEST),
        one_line=one_line,
        pct=lambda value: f"{value:.2f}%",
        px=lambda value: f"{value:.1f}",
        kind=lambda block: type(block).__name__,
        cells=cells,
        told=lambda block: told(block.lines, "html"),
    )
    environment.globals.update(marks=MARKS, listed=BREAKS_LISTED)
    return environment
