"""Steps, sections and derivations, and the sheet they are written on: each formula in symbols and with its numbers.

Computes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.notation import in_formula
from harness.records.findings import Decision


@dataclass(frozen=True, kw_only=True)
class Step:
    """One number: what it is, how it is computed, and what came out."""

    symbol: str
    """As it appears in later formulas: `q`."""
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
class Derivation:
    """How a statistic's bounds come about."""

    method: str = ""
    """The method with its source; empty where nothing is computed."""
    sections: tuple[Section, ...] = ()
    conditions: tuple[Condition, ...] = ()
    """The rule of a method that has one of its own; empty where bounds are held against the limit."""
    notes: tuple[str, ...] = ()
    """What to know of the steps."""


class Sheet:
    """Steps as they are written down, section by section. The numbers of a formula are those of the steps before it."""

    def __init__(self, title: str, **known: float) -> None:
        """`title`: of the first section. `known`: what formulas use without a step of its own, as `alpha`."""
        self._values = known
        self._sections: list[tuple[str, list[Step]]] = [(title, [])]

    def section(self, title: str) -> None:
        """What follows belongs under this title."""
        self._sections.append((title, []))

    def counted(self, symbol: str, value: float, says: str) -> None:
        """A number that was counted or read, not computed."""
        self._add(Step(symbol=symbol, says=says, value=_finite(value)), value)

    def step(self, symbol: str, says: str, formula: str, value: float, **known: float) -> None:
        """A computed number. The formula names other numbers in braces: steps above by their symbol, and `known`.

        Raises KeyError for a number that stands nowhere.
        """
        numbers = {name: _bracketed(each) for name, each in (self._values | known).items()}
        symbols = formula.replace("{", "").replace("}", "")
        numbered = formula.format_map(numbers)
        self._add(Step(symbol=symbol, says=says, formula=symbols, numbers=numbered, value=_finite(value)), value)

    def normal(self, value: float, symbol: str = "z_q") -> None:
        """The quantile of a test on independent items."""
        self.step(symbol, "standard normal quantile", "Φ⁻¹(1 − {alpha})", value)

    def student(self, value: float, symbol: str = "t", *, unit: str = "G") -> None:
        """The quantile of a test on independent units, as many as the step `unit` counts."""
        says = f"Student's t quantile with {unit} − 1 degrees of freedom"
        self.step(symbol, says, f"t⁻¹(1 − {{alpha}}; {{{unit}}} − 1)", value)

    def around(self, centre: str, bounds: tuple[float, float], *, mark: str = "") -> None:
        """Bounds one half-width, `h`, to either side."""
        self.step(f"L{mark}", "lower bound", f"{centre} − {{h}}", bounds[0])
        self.step(f"U{mark}", "upper bound", f"{centre} + {{h}}", bounds[1])

    def derivation(self, method: str, *conditions: Condition) -> Derivation:
        """Everything written."""
        sections = tuple(Section(title=title, steps=tuple(steps)) for title, steps in self._sections)
        return Derivation(method=method, sections=sections, conditions=conditions)

    def _add(self, step: Step, value: float) -> None:
        self._sections[-1][1].append(step)
        self._values = self._values | {step.symbol: value}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _bracketed(value: float) -> str:
    text = in_formula(value)
    return f"({text})" if text.startswith("−") else text
