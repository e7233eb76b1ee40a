"""How numbers are written in a reason: percentage points, percent, nats, bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.records.run_manifest import Leak

BEYOND = "beyond measure"
"""Said of a value too large for a number: the perplexity of a model that lost everything."""


def leak_words(task: str, leak: Leak) -> str:
    """References in their own prompts: how many, where, and which."""
    named = ", ".join(map(repr, leak.first)) + (", …" if leak.items > len(leak.first) else "")
    count = f"{leak.items:,} of {leak.of:,} items"
    return f"{task}: the reference stands in its own prompt for {count} ({named}), {leak.where}"


def bounds(lower: float | None, upper: float | None, say: Callable[[float], str]) -> str:
    """Both one-sided bounds in words: `0.10 pp to 2.30 pp`, and in plain words where one or both are open."""
    if lower == math.inf:
        return BEYOND
    low = None if lower is None or not math.isfinite(lower) else say(lower)
    high = None if upper is None or not math.isfinite(upper) else say(upper)
    if low is None and high is None:
        return "no bound can be given"
    if low is None:
        return f"up to {high}, no lower bound"
    return f"{low} to {high}" if high is not None else f"from {low}, no upper bound"


def points(value: float) -> str:
    """A difference of fractions in percentage points: `1.25 pp`."""
    return f"{100 * value:.2f} pp"


def percent(value: float) -> str:
    """A share or a relative change: `2.3 %`."""
    if math.isinf(value):
        return BEYOND
    return f"{100 * value:.2f} %" if abs(value) < 0.1 else f"{100 * value:.1f} %"


def quantity(value: float, unit: str) -> str:
    """A level in its unit, with as many digits as people read."""
    if not math.isfinite(value):
        return BEYOND
    if unit == "fraction":
        return f"{100 * value:.1f} %"
    if unit == "B":
        return byte_size(value)
    if unit == "s":
        return f"{1000 * value:.1f} ms"
    number = f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{number} {unit}".strip()


def byte_size(value: float) -> str:
    """Decimal units: `269 MB`."""
    for size, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.0f} B"


def ratio(value: float) -> str:
    """`0.35 x`."""
    return f"{value:.3f} ×"


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few of many: `a, b, c and 12 more`."""
    rest = len(names) - most
    return ", ".join(map(shortened, names[:most])) + (f" and {rest:,} more" if rest > 0 else "")


def shortened(name: str, longest: int = 60) -> str:
    """A slice's name may be any text of the data, and a sentence has more to say."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
