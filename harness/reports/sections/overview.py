"""The few figures a person wants first, one column each, and a card per candidate.

Owns which figures those are; gated figures come before others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.metrics.table import lookup
from harness.notation import DASH, number, ratio, worst
from harness.records.findings import Finding, FindingDecision
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import wording
from harness.reports.blocks import Card, Cell, Column, Group, Panels, Row, Section, Table

MOST_QUALITY = 3
"""More quality metrics than this are shown as the worst of them."""
MISSING = Cell(DASH)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of every candidate. `rank`: figures with a higher one go first when there is no room."""

    title: str
    detail: str
    cells: tuple[Cell, ...]
    rank: int


def section(verdict: Verdict) -> Section:
    """Cards on a page, else a table with a row per candidate."""
    shown = tuple(figures(verdict))
    cards = Panels(panels=tuple(_card(verdict, each, index, shown) for index, each in enumerate(verdict.candidates)))
    columns = (
        Column("variant", kind="name"),
        Column("verdict", kind="unbroken"),
        *(Column(each.title, detail=each.detail, kind="number", rank=each.rank) for each in shown),
    )
    rows: tuple[Row, ...] = tuple(
        (each.variant, _decided(verdict, each), *(figure.cells[index] for figure in shown))
        for index, each in enumerate(verdict.candidates)
    )
    table = Table(columns=columns, groups=(Group(rows),), against=verdict.baseline, wraps=False)
    return Section(blocks=(cards,), short=(table,))


def _decided(verdict: Verdict, candidate: CandidateVerdict) -> Cell:
    word = wording.decision_word(verdict, candidate.decision)
    return Cell(word, decision=candidate.decision, badge=word == candidate.decision)


def _card(verdict: Verdict, candidate: CandidateVerdict, index: int, shown: tuple[Figure, ...]) -> Card:
    texts = [(f"{each.title} {each.detail}".strip(), each.cells[index].text) for each in shown]
    return Card(
        title=candidate.variant,
        decision=candidate.decision,
        word=wording.decision_word(verdict, candidate.decision),
        kind=candidate.quantization,
        sentence=candidate.sentence,
        pairs=tuple(pair for pair in texts if pair[1] != DASH),
    )


def figures(verdict: Verdict) -> Iterator[Figure]:
    """Quality drops, perplexity, KL, flips, gated shares of the gain, decode speed, weights: what any candidate has."""
    yield from _quality(verdict)
    yield from _over_tasks(verdict)
    yield from _sum_ratios(verdict)
    measures = [measure for candidate in verdict.candidates for measure in candidate.measures]
    for row, shown in wording.in_overview("perplexity", "divergence"):
        task = next((measure.task for measure in measures if measure.metric == row.name), None)
        if task is not None:
            yield _measured(verdict, task, row.name, shown.title, shown.rank)
    if any(candidate.flips_total for candidate in verdict.candidates):
        flips = [str(sum(each.flips_total.values())) if each.flips_total else DASH for each in verdict.candidates]
        yield Figure(title="flips", detail="items", cells=tuple(map(Cell, flips)), rank=6)
    yield from _retained(verdict)
    yield from _costs(verdict)


def quality_keys(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """(task, metric) of binary and graded measures: gated ones, then the first of each other task."""
    measures = [measure for candidate in verdict.candidates for measure in candidate.measures]
    present = dict.fromkeys((m.task, m.metric) for m in measures if m.kind in ("binary", "graded", "corpus"))
    findings = [finding for candidate in verdict.candidates for finding in candidate.findings]
    gated = dict.fromkeys((f.task, f.metric) for f in findings if f.task is not None)
    gated = {key: None for key in gated if key in present}
    tasks = {task for task, _ in gated}
    firsts: dict[str, tuple[str, str]] = {}
    for key in present:
        firsts.setdefault(key[0], key)
    return (*gated, *(key for task, key in firsts.items() if task not in tasks))


def _retained(verdict: Verdict) -> Iterator[Figure]:
    """The share of the fine-tuning gain that is kept, where a gate looks at it."""
    found: dict[tuple[str, str], dict[str, Finding]] = {}
    for candidate in verdict.candidates:
        for finding in candidate.findings:
            if wording.is_of_base(finding) and finding.slice is None:
                found.setdefault((str(finding.task), finding.metric), {})[candidate.variant] = finding
    tasks = [task for task, _ in found]
    for (task, metric), by_variant in found.items():
        own = [by_variant.get(candidate.variant) for candidate in verdict.candidates]
        cells = [MISSING if f is None else Cell(wording.value(f, f.value), decision=f.decision) for f in own]
        title = task if tasks.count(task) == 1 else f"{task} {metric}"
        yield Figure(title=title, detail="retained", cells=tuple(cells), rank=2)


def _sum_ratios(verdict: Verdict) -> Iterator[Figure]:
    """Ratios of sums over items that a gate looks at, such as the length of answers."""
    gated = [f for candidate in verdict.candidates for f in candidate.findings if f.task and f.slice is None]
    for task, metric in dict.fromkeys((f.task, f.metric) for f in gated if _is_sum(f.metric)):
        cells = []
        for candidate in verdict.candidates:
            measure = wording.measure_of(candidate, str(task), metric)
            change = None if measure is None else measure.change
            text = DASH if change is None else ratio(1 + change)
            cells.append(Cell(text, decision=_decision(candidate, task, metric)))
        yield Figure(title=str(task), detail=metric.replace("_", " "), cells=tuple(cells), rank=3)


def _is_sum(metric: str) -> bool:
    row = lookup(metric)
    return row is not None and row.kind == "ratio"


def _over_tasks(verdict: Verdict) -> Iterator[Figure]:
    """What gates on several tasks say of their mean."""
    found: dict[str, dict[str, Finding]] = {}
    for candidate in verdict.candidates:
        for finding in candidate.findings:
            if finding.tasks:
                found.setdefault(finding.gate, {})[candidate.variant] = finding
    for by_variant in found.values():
        one = next(iter(by_variant.values()))
        own = [by_variant.get(candidate.variant) for candidate in verdict.candidates]
        cells = [MISSING if f is None else Cell(wording.value(f, f.value), decision=f.decision) for f in own]
        yield Figure(title=one.name or f"mean of {len(one.tasks)}", detail="drop", cells=tuple(cells), rank=2)


def _decision(candidate: CandidateVerdict, task: str | None, metric: str) -> FindingDecision | None:
    """The worst decision of the gates on this figure as a whole (not on one slice of it)."""
    return worst(
        finding.decision
        for finding in candidate.findings
        if finding.metric == metric
        and finding.slice is None
        and finding.task in (task, None)
        and not wording.is_of_base(finding)
    )


def _quality(verdict: Verdict) -> Iterator[Figure]:
    keys = quality_keys(verdict)
    if len(keys) > MOST_QUALITY:
        cells = tuple(_worst_drop(candidate, keys) for candidate in verdict.candidates)
        yield Figure(title="worst drop", detail=f"of {len(keys)} metrics", cells=cells, rank=1)
        return
    tasks = [task for task, _ in keys]
    for index, (task, metric) in enumerate(keys):
        title = task if tasks.count(task) == 1 else f"{task} {metric}"
        yield _measured(verdict, task, metric, title, 1 if index == 0 else 3)


def _worst_drop(candidate: CandidateVerdict, keys: tuple[tuple[str, str], ...]) -> Cell:
    measured = [m for m in candidate.measures if (m.task, m.metric) in keys and m.change is not None]
    found = max(measured, key=lambda m: m.change or 0.0, default=None)
    if found is None:
        return MISSING
    text = f"{wording.change(found, found.change)} {found.task}"
    return Cell(text, decision=_decision(candidate, found.task, found.metric))


def _measured(verdict: Verdict, task: str, metric: str, title: str, rank: int) -> Figure:
    cells, detail = [], ""
    for candidate in verdict.candidates:
        measure = wording.measure_of(candidate, task, metric)
        if measure is None or measure.change is None:
            cells.append(MISSING)
            continue
        level = measure.kind == "divergence"
        detail = measure.unit if level else "rise" if measure.kind == "perplexity" else "drop"
        text = number(measure.change) if level else wording.change(measure, measure.change)
        cells.append(Cell(text, decision=_decision(candidate, task, metric)))
    return Figure(title=title, detail=detail, cells=tuple(cells), rank=rank)


def _costs(verdict: Verdict) -> Iterator[Figure]:
    for metric, shown in wording.in_overview("speed", "memory"):
        if metric.kind == "speed":
            rows = [wording.speed_row(candidate, metric.name) for candidate in verdict.candidates]
            ratios = [None if row is None else row.ratio for row in rows]
        else:
            baseline = wording.bytes_of(verdict, metric=metric)
            sizes = [wording.bytes_of(verdict, candidate, metric) for candidate in verdict.candidates]
            ratios = [size / baseline if size is not None and baseline else None for size in sizes]
        if any(each is not None for each in ratios):
            decided = [_decision(candidate, None, metric.name) for candidate in verdict.candidates]
            texts = [DASH if each is None else ratio(each) for each in ratios]
            cells = tuple(Cell(text, decision=each) for text, each in zip(texts, decided, strict=True))
            yield Figure(title=shown.title, detail="ratio", cells=cells, rank=shown.rank)
