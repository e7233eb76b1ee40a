"""What an explanation is made of. Owns shapes and how a number is written in a formula; computes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.notation import in_formula
from harness.records.findings import Bound, Decision, FindingDecision
from harness.records.measures import Flip

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Step:
    """One number: what it is, how it is had, and what came out."""

    symbol: str
    """As it stands in later formulas: `q`."""
    says: str
    formula: str = ""
    """In symbols; empty for what was counted or read."""
    numbers: str = ""
    """The formula with the numbers put in."""
    value: float | None
    """As computed, unrounded; None where it is infinite or there is none."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """Steps that belong together."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One half of the decision rule with its numbers: `U < limit`."""

    gives: Decision
    rule: str
    numbers: str
    holds: bool


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that would change the decision."""

    of: str
    """`limit`, `flips`, `items`, `alpha`."""
    gives: Decision | None
    """The decision there; None where nothing of the kind would change it."""
    value: float | None
    """The limit, number of flips or items, or alpha itself."""
    says: str


class FlipBeside(Flip):
    """A flip between the fine-tuned model and the candidate, and where the model before fine-tuning stands."""

    fine_tuned: str
    """The variant whose answer is `baseline_answer`."""
    base_right: bool
    base_answer: str
    base_margin: float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows behind the numbers: documents, timed pairs, items."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    total: int
    """Rows there are; `rows` holds the first of them."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an input lies in the store."""

    what: str
    path: str
    """Relative to the results folder."""
    field: str
    """Of each record there."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """One finding, with everything one needs to reach it again by hand."""

    schema_version: int = SCHEMA
    suite: str
    run: str
    gate: str
    name: str | None
    variant: str
    against: str
    task: str | None
    metric: str
    slice: str | None
    workload: str | None
    form: str
    limit: float
    alpha: float
    n: int | None
    value: Bound
    lower: Bound
    upper: Bound
    unit: str
    decision: FindingDecision
    severity: str
    reason: str
    """These are the finding's, as verdict.json has them."""
    method: str
    """The method with its source; empty where this finding has no formula."""
    sections: tuple[Section, ...]
    conditions: tuple[Condition, ...]
    changes: tuple[Change, ...]
    flips: tuple[FlipBeside | Flip, ...]
    """Right-to-wrong first, each way the largest change of margin first."""
    flips_total: int | None
    """None where the metric is not right or wrong."""
    tables: tuple[Table, ...]
    places: tuple[Place, ...]
    commands: tuple[str, ...]
    """Each prints inputs of these numbers."""
    notes: tuple[str, ...]


def held(value: float) -> float | None:
    """A computed value as it is kept: finite, or None."""
    return float(value) if math.isfinite(value) else None


def counted(symbol: str, value: float, says: str) -> Step:
    """A number that was counted or read, not computed."""
    return Step(symbol=symbol, says=says, value=held(value))


def step(symbol: str, says: str, formula: str, value: float, **put_in: float) -> Step:
    """A computed number. `put_in`: what stands for the names in braces of the formula.

    The formula is written with `{n}` where the numbers go, and `n` is shown in the version in symbols.
    """
    return Step(
        symbol=symbol,
        says=says,
        formula=formula.format(**{name: _symbol(name) for name in put_in}),
        numbers=formula.format(**{name: _bracketed(value) for name, value in put_in.items()}),
        value=held(value),
    )


def _bracketed(value: float) -> str:
    text = in_formula(value)
    return f"({text})" if text.startswith("−") else text


SYMBOLS = {
    "sum_d": "Σd", "sum_b": "Σb", "sum_c": "Σc", "sum_s2": "Σs²", "sum_x": "Σx", "sum_w": "Σw", "sum_e2": "Σe²",
    "sum_y": "Σy", "p0": "p₀", "sum_W": "ΣW_j",
    "n11": "n₁₁", "V_bb": "V_bb", "deff": "deff",
}  # fmt: skip
"""Symbols that are no Python names; a trailing underscore is a prime."""


def _symbol(name: str) -> str:
    return SYMBOLS.get(name, name.replace("_", "′") if name.endswith("_") else name)
