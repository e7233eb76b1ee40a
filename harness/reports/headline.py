"""The few figures a person wants first, one column each: shared by the terminal, Markdown and the HTML cards.

Owns which figures those are; a figure that a gate looks at comes before one that no gate looks at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.metrics.row import Headline, Kind, Metric, StoredBytes
from harness.metrics.table import of_kind
from harness.notation import DASH, number, ratio, worst
from harness.records.findings import Finding, FindingDecision
from harness.records.measures import Measure, SpeedRow
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import figures

MOST_QUALITY = 3
"""More quality metrics than this are shown as the worst of them."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure of one candidate; `decision` where a gate looks at it."""

    text: str
    decision: FindingDecision | None = None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One figure of every candidate. `rank`: columns with a higher one go first when there is no room."""

    title: str
    detail: str
    cells: tuple[Cell, ...]
    rank: int


def columns(verdict: Verdict) -> tuple[Column, ...]:
    """Quality drops, perplexity, KL, flips, gated shares of the gain, decode speed, weights: what any candidate has."""
    found = _quality(verdict)
    for row, headline in _headlines("perplexity", "divergence"):
        column = _measured(verdict, _first_task(verdict, row.name), row.name, headline.title, headline.rank)
        if column is not None:
            found.append(column)
    flips = [sum(candidate.flips_total.values()) for candidate in verdict.candidates]
    if any(candidate.flips_total for candidate in verdict.candidates):
        cells = tuple(
            Cell(text=str(total) if candidate.flips_total else DASH)
            for candidate, total in zip(verdict.candidates, flips, strict=True)
        )
        found.append(Column(title="flips", detail="items", cells=cells, rank=6))
    return (*found, *_retained(verdict), *_costs(verdict))


def _retained(verdict: Verdict) -> list[Column]:
    """The share of the fine-tuning gain that is kept, where a gate looks at it."""
    found: dict[str, dict[str, Finding]] = {}
    for candidate in verdict.candidates:
        for finding in candidate.findings:
            if finding.form == "min_retained" and finding.slice is None:
                found.setdefault(f"{finding.task} {finding.metric}", {})[candidate.variant] = finding
    columns = []
    for key, by_variant in found.items():
        own = [by_variant.get(candidate.variant) for candidate in verdict.candidates]
        cells = tuple(
            Cell(text=DASH if each is None else figures.value(each), decision=each.decision if each else None)
            for each in own
        )
        title = key.split(" ", 1)[0] if len({name.split(" ", 1)[0] for name in found}) == len(found) else key
        columns.append(Column(title=title, detail="retained", cells=cells, rank=2))
    return columns


def quality_keys(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """(task, metric) of binary and graded measures: gated ones, then the first of each other task."""
    present = {
        (measure.task, measure.metric)
        for candidate in verdict.candidates
        for measure in candidate.measures
        if measure.kind in ("binary", "graded")
    }
    gated = [
        (finding.task, finding.metric)
        for candidate in verdict.candidates
        for finding in candidate.findings
        if finding.task is not None and (finding.task, finding.metric) in present
    ]
    firsts: dict[str, tuple[str, str]] = {}
    for candidate in verdict.candidates:
        for measure in candidate.measures:
            if (measure.task, measure.metric) in present:
                firsts.setdefault(measure.task, (measure.task, measure.metric))
    tasks = {task for task, _ in gated}
    return tuple(dict.fromkeys([*gated, *(key for task, key in firsts.items() if task not in tasks)]))


def measure_of(candidate: CandidateVerdict, task: str, metric: str) -> Measure | None:
    """The candidate's measure of this task and metric."""
    return next((m for m in candidate.measures if (m.task, m.metric) == (task, metric)), None)


def _headlines(*kinds: Kind) -> Iterator[tuple[Metric, Headline]]:
    """The metrics of these kinds that have a column of their own."""
    yield from ((row, row.headline) for row in of_kind(*kinds) if row.headline is not None)


def speed_row(candidate: CandidateVerdict, metric: str | None = None) -> SpeedRow | None:
    """A speed against the baseline, first workload: by default the first that has a column of its own."""
    name = metric or next(row.name for row, _ in _headlines("speed"))
    rows = (row for row in candidate.speed if row.metric == name)
    return next((row for row in rows if row.ratio is not None), None)


def bytes_of(verdict: Verdict, candidate: CandidateVerdict | None = None, metric: Metric | None = None) -> int | None:
    """Memory of a candidate, or of the baseline: by default the first figure that has a column of its own."""
    stored = (metric or next(row for row, _ in _headlines("memory"))).computed
    if not isinstance(stored, StoredBytes):
        return None
    memory = candidate.memory if candidate is not None else verdict.baseline_memory
    facts = candidate.facts if candidate is not None else verdict.baseline_facts
    found: int | None = getattr(memory, stored.field, None)
    return getattr(facts, stored.field, None) if found is None and stored.at_load else found


def _decision(candidate: CandidateVerdict, task: str | None, metric: str) -> FindingDecision | None:
    """The worst decision of the gates on this figure as a whole (not on one slice of it)."""
    found = {
        finding.decision
        for finding in candidate.findings
        if finding.metric == metric
        and finding.slice is None
        and finding.task in (task, None)
        and finding.form != "min_retained"
    }
    return worst(found)


def _quality(verdict: Verdict) -> list[Column]:
    keys = quality_keys(verdict)
    if len(keys) <= MOST_QUALITY:
        tasks = [task for task, _ in keys]
        found = [
            _measured(
                verdict,
                task,
                metric,
                task if tasks.count(task) == 1 else f"{task} {metric}",
                1 if index == 0 else 3,
            )
            for index, (task, metric) in enumerate(keys)
        ]
        return [column for column in found if column is not None]
    cells = []
    for candidate in verdict.candidates:
        measured = [m for m in candidate.measures if (m.task, m.metric) in keys and m.change is not None]
        worst = max(measured, key=lambda m: m.change or 0.0, default=None)
        if worst is None:
            cells.append(Cell(text=DASH))
            continue
        text = f"{figures.change(worst, worst.change)} {worst.task}"
        cells.append(Cell(text=text, decision=_decision(candidate, worst.task, worst.metric)))
    return [Column(title="worst drop", detail=f"of {len(keys)} metrics", cells=tuple(cells), rank=1)]


def _first_task(verdict: Verdict, metric: str) -> str | None:
    measures = (measure for candidate in verdict.candidates for measure in candidate.measures)
    return next((measure.task for measure in measures if measure.metric == metric), None)


def _measured(verdict: Verdict, task: str | None, metric: str, title: str, rank: int) -> Column | None:
    if task is None:
        return None
    cells = []
    detail = ""
    for candidate in verdict.candidates:
        measure = measure_of(candidate, task, metric)
        if measure is None or measure.change is None:
            cells.append(Cell(text=DASH))
            continue
        detail = {"perplexity": "rise", "divergence": measure.unit}.get(measure.kind, "drop")
        text = figures.change(measure, measure.change)
        if measure.kind == "divergence":
            text = number(measure.change)
        cells.append(Cell(text=text, decision=_decision(candidate, task, metric)))
    return Column(title=title, detail=detail, cells=tuple(cells), rank=rank)


def _costs(verdict: Verdict) -> list[Column]:
    found = []
    for metric, headline in _headlines("speed", "memory"):
        if metric.kind == "speed":
            rows = [speed_row(candidate, metric.name) for candidate in verdict.candidates]
            ratios = [None if row is None else row.ratio for row in rows]
        else:
            baseline = bytes_of(verdict, metric=metric)
            sizes = [bytes_of(verdict, candidate, metric) for candidate in verdict.candidates]
            ratios = [size / baseline if size is not None and baseline else None for size in sizes]
        if any(each is not None for each in ratios):
            cells = tuple(
                Cell(
                    text=DASH if each is None else ratio(each),
                    decision=_decision(candidate, None, metric.name),
                )
                for candidate, each in zip(verdict.candidates, ratios, strict=True)
            )
            found.append(Column(title=headline.title, detail="ratio", cells=cells, rank=headline.rank))
    return found
