"""Kinds of values in a suite: names, fractions written as percent, dates; what every part of it shares."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Spec(BaseModel):
    """What every part of a suite shares: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _percent(value: object) -> object:
    """`2%` is 0.02. Only where a relative amount is meant; anything else passes through unchanged."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            return value
    return value


Relative = Annotated[float, BeforeValidator(_percent)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Scalar = str | int | float | bool | None


def _iso_date(value: object) -> object:
    """`2026-12-31` and no other way of writing a date."""
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
        raise ValueError("is empty; whoever reads the report wants to know")
    return value


IsoDate = Annotated[date, BeforeValidator(_iso_date)]
Words = Annotated[str, BeforeValidator(_written)]
