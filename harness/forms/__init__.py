"""The forms that a gate can take."""

from __future__ import annotations

from typing import Literal

FORMS = (
    "max_drop",
    "max_relative_drop",
    "min_recovery",
    "min_retained",
    "max_increase",
    "min",
    "max",
    "min_ratio",
    "max_ratio",
)
Form = Literal[
    "max_drop",
    "max_relative_drop",
    "min_recovery",
    "min_retained",
    "max_increase",
    "min",
    "max",
    "min_ratio",
    "max_ratio",
]
