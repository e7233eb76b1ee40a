"""Forest plots: what each quality gate saw for each variant, its one-sided bounds and the limit."""

from __future__ import annotations

from dataclasses import dataclass

from harness.forms import FORMS
from harness.metrics.table import lookup
from harness.notation import NONE, Notation
from harness.records.findings import Finding, FindingDecision
from harness.records.measures import Measure
from harness.records.verdict import Verdict
from harness.reports import figures
from harness.reports.html.axes import around, tick_text

_DROPS = ("max_drop", "max_relative_drop", "min_recovery", "min_retained", "max_increase")
ROW_PX, TOP_PX = 46, 8


@dataclass(frozen=True, kw_only=True)
class ForestRow:
    """One variant. Positions in percent across, `y` in pixels of the row's line; None: nothing to draw."""

    variant: str
    decision: FindingDecision | None
    text: str
    y: int
    x: float | None
    left: float | None
    right: float | None


@dataclass(frozen=True, kw_only=True)
class Tick:
    x: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Forest:
    """One panel: a gate, or a measure that no gate looks at."""

    title: str
    detail: str
    rows: tuple[ForestRow, ...]
    ticks: tuple[Tick, ...]
    limit: float | None
    none_at: float | None
    """Where nothing changed: 0, or a share kept of 1."""
    height: int


@dataclass(frozen=True, kw_only=True)
class _Value:
    variant: str
    decision: FindingDecision | None
    value: float | None
    lower: float | None
    upper: float | None


def forests(verdict: Verdict) -> tuple[Forest, ...]:
    """Panels of the gates on whole tasks in suite order, then of quality measures without such a gate."""
    gates: dict[tuple[str, str], list[Finding]] = {}
    for candidate in verdict.candidates:
        for finding in candidate.findings:
            if finding.form in _DROPS and finding.slice is None:
                gates.setdefault((finding.gate, finding.form), []).append(finding)
    panels = [_of_gate(found) for found in gates.values()]
    seen = {
        (finding.task, finding.metric)
        for found in gates.values()
        for finding in found
        if finding.form != "min_retained"
    }
    free: dict[tuple[str, str], list[tuple[str, Measure]]] = {}
    for candidate in verdict.candidates:
        for measure in candidate.measures:
            key = (measure.task, measure.metric)
            row = lookup(measure.metric)
            restated = row is not None and row.restates
            if measure.kind != "divergence" and not restated and key not in seen:
                free.setdefault(key, []).append((candidate.variant, measure))
    return (*panels, *(_of_measures(found) for found in free.values()))


def _of_gate(found: list[Finding]) -> Forest:
    first = found[0]
    values = [
        _Value(variant=f.variant, decision=f.decision, value=f.value, lower=f.lower, upper=f.upper) for f in found
    ]
    against = f" against {first.against}" if first.against else ""
    return _panel(
        figures.gate_name(first),
        f"{figures.limit(first)}{against}",
        values,
        notation=figures.of_form(first.form),
        none_at=FORMS[first.form].neutral or 0.0,
        unit=first.unit,
        limit=first.limit,
    )


def _of_measures(found: list[tuple[str, Measure]]) -> Forest:
    measure = found[0][1]
    values = [_Value(variant=name, decision=None, value=m.change, lower=m.lower, upper=m.upper) for name, m in found]
    detail = "rise, no gate" if measure.kind == "perplexity" else "drop, no gate"
    title, notation = f"{measure.task} {measure.metric}", figures.of_kind(measure.kind)
    return _panel(title, detail, values, notation=notation, none_at=0.0, unit=measure.unit, limit=None)


def _panel(
    title: str,
    detail: str,
    values: list[_Value],
    *,
    notation: Notation,
    none_at: float,
    unit: str,
    limit: float | None,
) -> Forest:
    bounds = [bound for value in values for bound in (value.value, value.lower, value.upper)]
    axis = around([*bounds, limit, none_at])
    factor, suffix = notation.scale(unit)
    scaled = around([factor * axis.low, factor * axis.high], margin=0)
    rows = tuple(
        ForestRow(
            variant=value.variant,
            decision=value.decision,
            text=_text(value, notation, unit),
            y=TOP_PX + ROW_PX * index + 30,
            x=None if value.value is None else axis.at(value.value),
            left=None if value.lower is None else axis.at(value.lower),
            right=None if value.upper is None else axis.at(value.upper),
        )
        for index, value in enumerate(values)
    )
    return Forest(
        title=title,
        detail=detail,
        rows=rows,
        ticks=tuple(Tick(x=scaled.at(tick), text=tick_text(tick) + suffix) for tick in scaled.ticks()),
        limit=None if limit is None else axis.at(limit),
        none_at=axis.at(none_at),
        height=TOP_PX + ROW_PX * len(values) + 26,
    )


def _text(value: _Value, notation: Notation, unit: str) -> str:
    if value.value is None:
        return NONE
    shown = notation.amount(value.value, unit)
    if value.lower is None or value.upper is None:
        return shown
    return f"{shown}  ({notation.span(value.lower, value.upper, unit)})"
