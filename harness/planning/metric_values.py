"""A metric's value as a number, whatever type lm-eval gives it."""

from __future__ import annotations

import numbers


def number(value: object) -> float | None:
    """None for what is not a number; numpy's booleans are not `Real`, but count as numbers."""
    if not isinstance(value, numbers.Real) and type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        value = value.item()  # type: ignore[attr-defined]  # every numpy scalar has it
    return float(value) if isinstance(value, numbers.Real) else None
