"""Forest plots: a value of each variant with its one-sided bounds, beside the limit and the line of no change."""

from __future__ import annotations

from dataclasses import dataclass

from harness.notation import NONE, Notation
from harness.records.findings import FindingDecision
from harness.reports.charts.axes import Axis, Tick, around, tick_text

ROW_PX, TOP_PX = 46, 8


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One variant; None where nothing could be measured."""

    variant: str
    decision: FindingDecision | None
    value: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, kw_only=True)
class Forest:
    """One panel: what a gate looks at, or a measure that none does."""

    title: str
    detail: str
    rows: tuple[ForestRow, ...]
    notation: Notation
    unit: str
    limit: float | None
    neutral: float
    """Where nothing changed."""

    @property
    def axis(self) -> Axis:
        bounds = [bound for row in self.rows for bound in (row.value, row.lower, row.upper)]
        return around([*bounds, self.limit, self.neutral])

    @property
    def ticks(self) -> tuple[Tick, ...]:
        scale = self.notation.scale(self.unit)
        scaled = self.axis.scaled(scale)
        return tuple(Tick(at=scaled.at(tick), text=tick_text(tick) + scale.suffix) for tick in scaled.ticks())

    @property
    def height(self) -> int:
        return TOP_PX + ROW_PX * len(self.rows) + 26

    def line(self, index: int) -> int:
        """Where the line of a row runs, in pixels from the top."""
        return TOP_PX + ROW_PX * index + 30

    def text(self, row: ForestRow) -> str:
        """`1.10 pp  (-0.60 … 2.90 pp)`."""
        if row.value is None:
            return NONE
        shown = self.notation.amount(row.value, self.unit)
        if row.lower is None or row.upper is None:
            return shown
        return f"{shown}  ({self.notation.span(row.lower, row.upper, self.unit)})"

    @property
    def says(self) -> str:
        decided = [f", {row.decision}" if row.decision else "" for row in self.rows]
        said = zip(self.rows, decided, strict=True)
        return " ".join(f"{row.variant}: {self.text(row)}{decision}." for row, decision in said)
