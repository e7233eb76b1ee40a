"""A data file's value as text: one rule for prompts, answers, options, clusters, slices and ids. The text is what the
file contains: a JSON number as it is written there, `true` and `false` as JSON has them. What has no text of its own
(null, a list, a mapping, bytes, a number that was computed or stored in binary) is refused, never formatted as Python
would.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Self

Value = object
"""A cell: string, number, boolean, list, mapping or None, as in the file."""


class Number(float):
    """A JSON number with a decimal point or exponent. Behaves like a float and keeps its text."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


class NotTextError(ValueError):
    """A value that is not a string. Says what it is and what to do, to follow `expected a string, got`."""


def text_of(value: Value) -> str:
    """The value's text. Raises `NotTextError`."""
    if isinstance(value, str):
        return str(value)  # a Jinja Markup is a text of another class
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Number):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    raise NotTextError(_refused(value))


def _refused(value: Value) -> str:
    if value is None:
        return "null; fill it in, leave the row out, or give a default: {{ field or 'none' }}"
    if isinstance(value, float):
        return (
            f"the number {value!r}, whose digits are not those of the file; say how to write it: {{{{ '%.2f' % x }}}}"
        )
    if isinstance(value, Mapping):
        keys = ", ".join(map(str, list(value)[:4]))
        return f"a mapping with {keys}; name one of its fields: {{{{ field.{next(iter(value), 'key')!s} }}}}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}; take one of it or join them: {{{{ field[0] }}}}, {{{{ field | join(', ') }}}}"
    if isinstance(value, bytes):
        return "bytes; store the column as text"
    return f"a value of the kind {type(value).__name__}; store it as text"


def is_missing(value: Value) -> bool:
    """Null, or a string without a visible character: an empty cell of a CSV file."""
    return value is None or (isinstance(value, str) and not value.strip())
