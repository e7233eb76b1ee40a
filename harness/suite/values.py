"""Value types of a suite: names, fractions written as percentages, dates; and the base model of its parts."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Spec(BaseModel):
    """Base of every part of a suite: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _percent(value: object) -> object:
    """`2%` is 0.02. For relative amounts only; anything else passes through unchanged."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            return value
    return value


Relative = Annotated[float, BeforeValidator(_percent)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
Weights = dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Scalar = str | int | float | bool | None


def _iso_date(value: object) -> object:
    """`2026-12-31` and no other date format."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass  # such as the 31st of February
    if isinstance(value, date):
        return value
    raise ValueError(f"expected a date such as 2026-12-31, got {value!r}")


def _written(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("must not be empty (it is shown in the report)")
    return value


IsoDate = Annotated[date, BeforeValidator(_iso_date)]
Words = Annotated[str, BeforeValidator(_written)]
