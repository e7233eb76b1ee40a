"""Quality against speed, with memory as the area of the mark: benefits and costs of quantization."""

from __future__ import annotations

from harness.notation import NONE, Notation, byte_size, level, ratio
from harness.records.measures import Measure, SpeedRow
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import wording
from harness.reports.blocks import Panels, Paragraph, Section
from harness.reports.charts.scatter import Bounded, Point, Scatter
from harness.reports.sections.overview import quality_keys

MOST_CHARTS = 2


def section(verdict: Verdict) -> Section | None:
    """A chart for each of the first quality metrics; None where no speed was measured."""
    keys = list(quality_keys(verdict))[:MOST_CHARTS]
    if not keys:
        measures = [m for candidate in verdict.candidates for m in candidate.measures]
        keys = list(dict.fromkeys((m.task, m.metric) for m in measures if m.kind == "perplexity"))[:1]
    charts = [_scatter(verdict, task, metric) for task, metric in keys]
    drawn = tuple(chart for chart in charts if chart is not None)
    about = Paragraph(
        "Up is quality, right is speed, the area of a mark is the memory its weights take. Thin lines are "
        "one-sided bounds."
    )
    panels = Panels(panels=drawn, width="wide")
    return Section(name="tradeoff", title="Quality and speed", blocks=(about, panels)) if drawn else None


def _scatter(verdict: Verdict, task: str, metric: str) -> Scatter | None:
    points, missing, measured, workload = [], [], None, ""
    for candidate in verdict.candidates:
        measure, row = wording.measure_of(candidate, task, metric), wording.speed_row(candidate)
        point = None if measure is None or row is None else _point(verdict, candidate, measure, row)
        if point is None or row is None:
            missing.append(candidate.variant)
            continue
        points.append(point)
        measured, workload = measure, row.workload
    if measured is None or measured.baseline is None:
        return None
    points.append(_drawn(verdict, None, measured, (1.0, None, None), (measured.baseline, None, None)))
    return Scatter(
        title=f"{task} {metric}",
        about="decode speed; the area of a mark is the bytes of its weights",
        x_title=f"decode speed, ratio to the baseline ({workload})",
        detail=f"{metric}; up is {'better' if measured.higher_is_better else 'worse'}",
        points=tuple(points),
        x_scale=Notation.RATIO.scale(""),
        y_scale=Notation.LEVEL.scale(measured.unit),
        one=1.0,
        missing=tuple(missing),
    )


def _point(verdict: Verdict, candidate: CandidateVerdict, measure: Measure, row: SpeedRow) -> Point | None:
    if measure.baseline is None or measure.candidate is None or row.ratio is None:
        return None
    quality: Bounded = (measure.candidate, None, None)
    if measure.kind != "perplexity" and measure.lower is not None and measure.upper is not None:
        sign = 1 if measure.higher_is_better else -1
        bounds = measure.baseline - sign * measure.upper, measure.baseline - sign * measure.lower
        quality = (measure.candidate, *bounds)
    return _drawn(verdict, candidate, measure, (row.ratio, row.lower, row.upper), quality)


def _drawn(
    verdict: Verdict, candidate: CandidateVerdict | None, measure: Measure, speed: Bounded, quality: Bounded
) -> Point:
    name = f"{verdict.baseline} (baseline)" if candidate is None else candidate.variant
    weight = wording.bytes_of(verdict, candidate)
    size = NONE if weight is None else byte_size(weight)
    shown = f"{measure.metric} {level(quality[0], measure.unit)}, decode {ratio(speed[0])}, weights {size}"
    return Point(
        variant=name,
        decision=None if candidate is None else candidate.decision,
        x=speed,
        y=quality,
        size=weight,
        says=f"{name}: {shown}",
    )
