"""The few figures a person wants first, one column each: shared by the terminal, Markdown and the HTML cards.

Owns which figures those are; a figure that a gate looks at comes before one that no gate looks at.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.records.findings import Finding, FindingDecision
from harness.records.measures import Measure
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
    for metric, title, rank in (("perplexity", "PPL", 2), ("kl_mean", "KL mean", 5)):
        column = _measured(verdict, _first_task(verdict, metric), metric, title, rank)
        if column is not None:
            found.append(column)
    flips = [sum(candidate.flips_total.values()) for candidate in verdict.candidates]
    if any(candidate.flips_total for candidate in verdict.candidates):
        cells = tuple(
            Cell(text=str(total) if candidate.flips_total else figures.DASH)
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
            Cell(text=figures.DASH if each is None else figures.value(each), decision=each.decision if each else None)
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


def decode_ratio(candidate: CandidateVerdict) -> float | None:
    """Decode tokens/s against the baseline, first workload."""
    rows = (row for row in candidate.speed if row.metric == "decode_tokens_per_s")
    return next((row.ratio for row in rows if row.ratio is not None), None)


def weight_bytes(verdict: Verdict, candidate: CandidateVerdict | None = None) -> int | None:
    """Resident weight bytes of a candidate, or of the baseline."""
    memory = candidate.memory if candidate is not None else verdict.baseline_memory
    facts = candidate.facts if candidate is not None else verdict.baseline_facts
    if memory is not None and memory.weight_bytes is not None:
        return memory.weight_bytes
    return facts.weight_bytes if facts is not None else None


def _decision(candidate: CandidateVerdict, task: str | None, metric: str) -> FindingDecision | None:
    """The worst decision of the gates on this figure as a whole (not on one slice of it)."""
    order: tuple[FindingDecision, ...] = ("INVALID", "FAIL", "INCONCLUSIVE", "WAIVED", "PASS")
    found = {
        finding.decision
        for finding in candidate.findings
        if finding.metric == metric
        and finding.slice is None
        and finding.task in (task, None)
        and finding.form != "min_retained"
    }
    return next((decision for decision in order if decision in found), None)


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
            cells.append(Cell(text=figures.DASH))
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
            cells.append(Cell(text=figures.DASH))
            continue
        detail = {"perplexity": "rise", "divergence": measure.unit}.get(measure.kind, "drop")
        text = figures.change(measure, measure.change)
        if measure.kind == "divergence":
            text = f"{measure.change:.3g}"
        cells.append(Cell(text=text, decision=_decision(candidate, task, metric)))
    return Column(title=title, detail=detail, cells=tuple(cells), rank=rank)


def _costs(verdict: Verdict) -> list[Column]:
    found = []
    speeds = [decode_ratio(candidate) for candidate in verdict.candidates]
    if any(speed is not None for speed in speeds):
        cells = tuple(
            Cell(
                text=figures.DASH if speed is None else f"{speed:.2f} ×",
                decision=_decision(candidate, None, "decode_tokens_per_s"),
            )
            for candidate, speed in zip(verdict.candidates, speeds, strict=True)
        )
        found.append(Column(title="decode", detail="ratio", cells=cells, rank=4))
    baseline = weight_bytes(verdict)
    sizes = [weight_bytes(verdict, candidate) for candidate in verdict.candidates]
    if baseline and any(size is not None for size in sizes):
        cells = tuple(
            Cell(
                text=figures.DASH if size is None else f"{size / baseline:.2f} ×",
                decision=_decision(candidate, None, "weight_bytes"),
            )
            for candidate, size in zip(verdict.candidates, sizes, strict=True)
        )
        found.append(Column(title="weights", detail="ratio", cells=cells, rank=4))
    return found
