"""The one Jinja environment of the HTML pages: strict about names, escaping always on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from harness import notation
from harness.reports import figures, slice_lines
from harness.reports.retained_lines import gain, gain_interval
from harness.reports.safe_text import one_line, visible

if TYPE_CHECKING:
    from jinja2 import Environment


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
        one_line=one_line,
        level=notation.level,
        bytes=lambda value: notation.NONE if value is None else notation.byte_size(value),
        pct=lambda value: f"{value:.2f}%",
        px=lambda value: f"{value:.1f}",
    )
    environment.globals.update(
        marks=notation.MARKS,
        notation=notation,
        figures=figures,
        slices=slice_lines,
        gained=gain,
        gained_interval=gain_interval,
    )
    return environment
