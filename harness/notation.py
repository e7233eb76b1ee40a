"""How numbers, units, lists and decisions are written: the only module that does, so that no two reports differ.

Each unit has one rule, and it holds over a unit's border: 999.6 MB is `1 GB`, 0.99999 s is `1.00 s`. Takes fractions,
seconds, bytes and nats as they were computed; knows no gate, no metric and no report. Nothing is ever "-0.00".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple, TypeVar

NONE = "not available"
DASH = "–"
"""What a table shows where there is no value."""
BEYOND = "beyond measure"
"""A value too large for a number: the perplexity of a model that lost everything."""
LONGEST_NAME = 60
FORMULA_DIGITS = 10
"""Significant digits of a number in a formula: enough to get the bound again with a calculator."""

WORST_FIRST = ("INVALID", "FAIL", "INCONCLUSIVE", "WAIVED", "PASS")
MARKS = {"PASS": "✓", "FAIL": "✕", "INCONCLUSIVE": "?", "INVALID": "⊘", "WAIVED": "~"}
"""Decisions carry a sign and a word, never a colour alone."""
EMOJI = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔", "INVALID": "⛔", "WAIVED": "⏳"}
"""The same where Markdown is drawn."""

_HUGE = 1e15
_BYTES = ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))
D = TypeVar("D", bound=str)


def worst(decisions: Iterable[D]) -> D | None:
    """The worst of several decisions; None of none."""
    return min(decisions, key=WORST_FIRST.index, default=None)


def points(value: float) -> str:
    """A difference of fractions in percentage points: `1.25 pp`."""
    return _unusual(value) or f"{_fixed(100 * value, 2)} pp"


def percent(value: float) -> str:
    """A share or a relative change: `2.30 %`, from 10 % on `96.2 %`."""
    return _unusual(value) or f"{_fixed(100 * value, 2, from_ten=1)} %"


def ratio(value: float) -> str:
    """`0.350 ×`, from 10 on `12.3 ×`."""
    return _unusual(value) or f"{_fixed(value, 3, from_ten=1)} ×"


def level(value: float | None, unit: str) -> str:
    """A level in its unit, with as many digits as people read."""
    if value is None:
        return DASH
    if unit == "B":
        return byte_size(value)
    if unit == "s":
        return latency(value)
    if _unusual(value):
        return _unusual(value)
    return f"{_fixed(100 * value, 1)} %" if unit == "fraction" else f"{number(value)} {unit}".strip()


def byte_size(value: float) -> str:
    """Decimal units, three significant digits: `269 MB`, `1.5 GB`."""
    if _unusual(value):
        return _unusual(value)
    size, name = next((each for each in _BYTES if abs(value) / each[0] < 999.5), _BYTES[-1])
    amount = value / size
    return f"{_fixed(amount, 0)} {name}" if name == "B" or abs(amount) >= 99.95 else f"{amount:z.3g} {name}"


def latency(seconds: float) -> str:
    """What a request waits: `12.5 ms`, from a second on `1.50 s`."""
    if _unusual(seconds):
        return _unusual(seconds)
    in_ms = f"{1000 * seconds:z.1f}"
    return f"{in_ms} ms" if abs(float(in_ms)) < 1000 else f"{_fixed(seconds, 2)} s"


def duration(seconds: float | None) -> str:
    """What a person waits: `48 s`, `3 min 05 s`, `1 h 05 min`."""
    if seconds is None:
        return DASH
    if _unusual(seconds):
        return _unusual(seconds)
    if abs(seconds) >= _HUGE:
        return f"{seconds:.4g} s"
    minutes, rest = divmod(round(abs(seconds)), 60)
    hours, sign = minutes // 60, "-" if round(seconds) < 0 else ""
    if hours:
        return f"{sign}{hours:,} h {minutes % 60:02d} min"
    return f"{sign}{minutes} min {rest:02d} s" if minutes else f"{sign}{rest} s"


def number(value: float) -> str:
    """A plain number, four significant digits, thousands with separators: `7.389`, `12,346`."""
    if _unusual(value):
        return _unusual(value)
    text = f"{value:z.4g}"
    return f"{value:,.0f}" if 1000 <= abs(float(text)) < _HUGE else text


def significant(value: float, digits: int = 2) -> str:
    """So many significant digits, an exponent only from a million on: `0.034`, `100`, `1,200`, `2.5e+11`."""
    if _unusual(value):
        return _unusual(value)
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if 10**digits <= abs(rounded) < 1e6 else f"{rounded:z.{digits}g}"


def bits_per_weight(value: float) -> str:
    """`4.51 bits per weight`."""
    return f"{_fixed(value, 2)} bits per weight"


def confidence(alpha: float) -> str:
    """Of a one-sided bound: `95 %`, `97.5 %`."""
    return f"{100 * (1 - alpha):.6g} %"


def in_formula(value: float | None) -> str:
    """A number in a formula: no unit, a true minus, digits enough to compute with."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < _HUGE:
        return str(int(value)).replace("-", "−")
    return f"{value:.{FORMULA_DIGITS}g}".replace("-", "−")


def count(amount: int, thing: str) -> str:
    """`1 document`, `1,200 documents`."""
    return f"{amount:,} {thing}{'' if amount == 1 else 's'}"


def count_is(amount: int, thing: str) -> str:
    """`1 document is`, `12 documents are`."""
    return f"{count(amount, thing)} {'is' if amount == 1 else 'are'}"


def more_would_decide(more: int | None, thing: str) -> str:
    """How many more would take an interval off its limit; None: no number would."""
    if more is None:
        return f"the estimate is on the limit, so no number of {thing}s would decide"
    return f"about {more:,} more {thing}{'' if more == 1 else 's'} would decide at the rates seen"


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first few of many: `a, b, c and 12 more`."""
    rest = len(names) - most
    return ", ".join(map(shortened, names[:most])) + (f" and {rest:,} more" if rest > 0 else "")


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """A slice's name may be any text of the data, and a sentence or a column has other things to show."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def bounds(lower: float | None, upper: float | None, write: Callable[[float], str]) -> str:
    """Both one-sided bounds in a sentence: `0.10 pp to 2.30 pp`, and in plain words where one or both are open."""
    if lower == math.inf:
        return BEYOND
    low = None if lower is None or not math.isfinite(lower) else write(lower)
    high = None if upper is None or not math.isfinite(upper) else write(upper)
    if low is None and high is None:
        return "no bound can be given"
    if low is None:
        return f"up to {high}, no lower bound"
    return f"{low} to {high}" if high is not None else f"from {low}, no upper bound"


def span(lower: str, upper: str) -> str:
    """Both bounds in a table, a unit they share written once: `0.31 … 2.65 pp`; a dash where one is missing."""
    if DASH in (lower, upper):
        return DASH
    amount, _, unit = lower.partition(" ")
    shared = lower != BEYOND and unit and upper.endswith(f" {unit}")
    return f"{amount} … {upper}" if shared else f"{lower} … {upper}"


class Scale(NamedTuple):
    """What an axis shows of an amount: `factor` times it, with `suffix` at each tick."""

    factor: float
    suffix: str


class Notation(Enum):
    """What kind of amount a gate form, a change or a bound is, which says how it is written."""

    POINTS = "pp"
    """A difference: of fractions in percentage points, of anything else in its own unit."""
    PERCENT = "percent"
    """A share or a relative change."""
    RATIO = "ratio"
    """Times the baseline's."""
    LEVEL = "level"
    """A value of its own, in its unit."""

    def amount(self, value: float | None, unit: str) -> str:
        """`1.25 pp`, `96.2 %`, `0.350 ×`, `269 MB`; a dash for None."""
        if value is None:
            return DASH
        own = {" pp": points, " %": percent, " ×": ratio}
        write = own.get(self._suffix(unit)) if self is not Notation.LEVEL else None
        return write(value) if write is not None else level(value, unit)

    def limit(self, value: float, unit: str) -> str:
        """With the digits that a person wrote: `2 pp`, `99.5 %`."""
        return self._short(value, unit, 4)

    def rough(self, value: float, unit: str) -> str:
        """Two significant digits, for what is only about so large: `2.5 pp`, `0.013 nats`."""
        return self._short(value, unit, 2)

    def bounds(self, lower: float | None, upper: float | None, unit: str) -> str:
        """Both in a sentence: `0.10 pp to 2.30 pp`."""
        return bounds(lower, upper, lambda value: self.amount(value, unit))

    def span(self, lower: float | None, upper: float | None, unit: str) -> str:
        """Both in a table: `0.31 … 2.65 pp`."""
        return span(self.amount(lower, unit), self.amount(upper, unit))

    def scale(self, unit: str) -> Scale:
        """For the ticks of an axis; any other unit belongs in the chart's title."""
        suffix = self._suffix(unit)
        return Scale(factor=100 if suffix in (" pp", " %") else 1, suffix=suffix)

    def _suffix(self, unit: str) -> str:
        if self is Notation.POINTS:
            return " pp" if unit in ("fraction", "pp") else ""
        if self is Notation.LEVEL:
            return " %" if unit == "fraction" else ""
        return " %" if self is Notation.PERCENT else " ×"

    def _short(self, value: float, unit: str, digits: int) -> str:
        factor, suffix = self.scale(unit)
        if not suffix and unit in ("B", "s"):
            return level(value, unit)
        return f"{significant(factor * value, digits)}{suffix or f' {unit}'}".rstrip()


def _unusual(value: float) -> str:
    """The words for a value that is not a finite number; empty for one that is."""
    if math.isnan(value):
        return NONE
    return BEYOND if math.isinf(value) else ""


def _fixed(value: float, digits: int, *, from_ten: int | None = None) -> str:
    """So many digits after the point; `from_ten`: so many where 10 or more is shown."""
    if abs(value) >= _HUGE:
        return f"{value:.4g}"
    text = f"{value:z,.{digits}f}"
    return text if from_ten is None or len(text.lstrip("-")) <= digits + 2 else f"{value:z,.{from_ten}f}"
