"""Pairs two variants of a run on every task that both answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.comparison.answer_patterns import Behaviour, behaviour
from harness.comparison.flips import Reader, find_flips
from harness.comparison.sequential_test import Part, largest_cluster
from harness.errors import RecordError
from harness.records.columns import Indices, ItemColumns, PlanColumns
from harness.records.items import ItemRecord, PlannedItem
from harness.records.measures import Flip
from harness.records.run_manifest import EarlyStop, RunManifest, TaskRun, VariantRun
from harness.records.store import Store
from harness.samples.base_pairs import ThreeWay, task_three_ways
from harness.samples.derived import Texts, derived_metrics, stored_texts
from harness.samples.documents import DocumentPairs, document_pairs
from harness.samples.pairs import PairedMetric, PairingError, Pairs, Side, align, pair_items, paired_metric
from harness.samples.strata import Asked
from harness.samples.whole_pairs import WholePairs, whole_pairs


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Everything paired between two sides: per-item metrics and documents, by task."""

    metrics: Mapping[tuple[str, str], PairedMetric]
    """(task, metric) to its pairs."""
    documents: Mapping[str, DocumentPairs]
    broken: Mapping[str, str]
    """Task to why it could not be paired."""
    flips: tuple[Flip, ...]
    flips_total: Mapping[str, int]
    behaviours: Mapping[str, Behaviour]
    """Task to how both sides answered."""
    three_ways: Mapping[tuple[str, str], ThreeWay] = field(default_factory=dict)
    """(task, metric) to both sides with the model before fine-tuning, where there is one."""
    base_unavailable: Mapping[str, str] = field(default_factory=dict)
    """Task to why that model could not be paired with them."""
    parts: Mapping[str, Part] = field(default_factory=dict)
    """Task to the part that was computed, where the variant was stopped early: its metrics cover that part alone."""
    wholes: Mapping[tuple[str, str], WholePairs] = field(default_factory=dict)
    """(task, metric of the whole) to what items add to it."""
    asked: Mapping[str, Asked] = field(default_factory=dict)
    """Task to its pairs by name."""


NOTHING_PAIRED = Paired(metrics={}, documents={}, broken={}, flips=(), flips_total={}, behaviours={})


class Items:
    """A run's stored records. Reads each evaluation and each plan once, as columns."""

    def __init__(self, store: Store, run: RunManifest) -> None:
        """Raises `RecordError` where an evaluation does not belong to the run's variant or task."""
        store.check_bound(run)
        self.store = store
        self.run = run
        self._sides: dict[tuple[str, int | None], Side] = {}
        self._plans: dict[str, PlanColumns] = {}

    def side(self, task: str, key: str) -> Side:
        if (key, None) not in self._sides:
            facts = self.run.tasks[task]
            columns = self.store.columns(key, facts.metrics, parts_of(facts))
            self._sides[key, None] = align(self.plan(task), columns)
        return self._sides[key, None]

    def asked(self, task: str, variant: VariantRun) -> Side:
        """A variant's results on a task, or on the part of it that it answered before it was stopped."""
        stop = variant.stopped
        if stop is None or task in variant.evaluations:
            return self.side(task, variant.evaluations[task])
        place = stop.evaluation, stop.chunks
        if place not in self._sides:
            columns = self._part(stop, self.run.tasks[task].metrics)
            self._sides[place] = align(self.plan(task), columns, stopped=True)
        return self._sides[place]

    def _part(self, stop: EarlyStop, metrics: Sequence[str]) -> ItemColumns:
        columns, digest = self.store.part(stop.evaluation, metrics, first=stop.chunks)
        if digest != stop.digest:
            raise RecordError(
                f"{self.store.evaluation_folder(stop.evaluation)}: holds other answers than those at which the run was "
                "stopped early; run the suite again."
            )
        return columns

    def plan(self, task: str) -> PlanColumns:
        if task not in self._plans:
            facts = self.run.tasks[task]
            self._plans[task] = self.store.plan_columns(facts.plan, facts.words)
        return self._plans[task]

    def reader(self, task: str, keys: tuple[str, str], pairs: Pairs) -> Reader:
        """Reads some of the pairs in full, from the evaluations with these keys."""

        def read(wanted: Indices) -> Iterable[tuple[PlannedItem, ItemRecord, ItemRecord]]:
            planned = self.store.planned(self.run.tasks[task].plan, pairs.plan.lines[pairs.places[wanted]].tolist())
            left = self.store.records(keys[0], pairs.baseline, wanted.tolist())
            right = self.store.records(keys[1], pairs.candidate, wanted.tolist())
            return zip(planned, left, right, strict=True)

        return read


def pair_sides(
    items: Items,
    left: VariantRun,
    right: VariantRun,
    *,
    without: Mapping[str, frozenset[str]] | None = None,
    tasks: frozenset[str] | None = None,
    earlier: str = "",
    base: VariantRun | None = None,
    stored_only: bool = False,
) -> Paired:
    """Pair two sides on every task both evaluated (or those of `tasks`). Slices and clusters come from the plan.

    `without`: task to the items left out. `earlier`: the promoted version on one of the sides. Damage in its records
    breaks only its own pairs, and its flips are not looked up. `base`: the model before fine-tuning.
    `stored_only`: without the metrics that follow from stored answers.
    """
    found: dict[str, _Task] = {}
    broken: dict[str, str] = {}
    for task in items.run.tasks:
        if task not in left.answered or task not in right.answered or (tasks is not None and task not in tasks):
            continue
        try:
            out = (without or {}).get(task, frozenset())
            found[task] = _task(
                items, task, left, right, without=out, earlier=earlier, base=base, stored_only=stored_only
            )
        except PairingError as error:
            broken[task] = str(error)
        except RecordError as error:
            if not earlier:
                raise
            broken[task] = f"the records of {earlier} cannot be read: {error}"
    return Paired(
        metrics={(task, metric.metric): metric for task, each in found.items() for metric in each.metrics},
        documents={task: each.documents for task, each in found.items() if each.documents is not None},
        broken=broken,
        flips=tuple(flip for each in found.values() for flip in each.flips),
        flips_total={task: each.flips_total for task, each in found.items() if each.flips_total is not None},
        behaviours={task: each.behaviour for task, each in found.items() if each.behaviour is not None},
        three_ways={
            (task, three_way.metric): three_way for task, each in found.items() for three_way in each.three_ways
        },
        base_unavailable={task: each.base_unavailable for task, each in found.items() if each.base_unavailable},
        parts=stopped_parts(items, left, right),
        wholes={(task, whole.metric): whole for task, each in found.items() for whole in each.wholes},
        asked={task: each.asked for task, each in found.items()},
    )


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What `Paired` holds, of one task."""

    metrics: tuple[PairedMetric, ...]
    documents: DocumentPairs | None
    behaviour: Behaviour | None
    flips: tuple[Flip, ...]
    flips_total: int | None
    three_ways: tuple[ThreeWay, ...]
    base_unavailable: str
    wholes: tuple[WholePairs, ...]
    asked: Asked


def measured(
    run: RunManifest, task: str, pairs: Pairs, texts: Texts | None
) -> tuple[tuple[PairedMetric, ...], DocumentPairs | None]:
    """Per-item metrics of a task, stored ones first, or its documents. `texts`: None for the stored ones alone.

    Raises `PairingError` for an item without one.
    """
    facts = run.tasks[task]
    metrics = tuple(
        paired_metric(
            task, metric, pairs, higher_is_better=metric not in facts.lower_is_better, first=metric == facts.metrics[0]
        )
        for metric in facts.metrics
    )
    if texts is not None:
        metrics += derived_metrics(task, facts.kind, pairs, texts)
    return metrics, document_pairs(task, pairs) if facts.kind == "perplexity" else None


def _task(
    items: Items,
    task: str,
    left: VariantRun,
    right: VariantRun,
    *,
    without: frozenset[str],
    earlier: str,
    base: VariantRun | None,
    stored_only: bool,
) -> _Task:
    """Pair two sides on one task. Raises `PairingError`, and `RecordError` for damaged records."""
    facts = items.run.tasks[task]
    pairs = pair_items(
        task,
        items.plan(task),
        items.asked(task, left),
        items.asked(task, right),
        names=(earlier or left.variant, right.variant),
        without=without,
    )
    keys = left.answered[task], right.answered[task]
    read = items.reader(task, keys, pairs)
    texts = None if stored_only else stored_texts(items.store, keys, pairs)
    metrics, documents = measured(items.run, task, pairs, texts)
    stored = [each for each in metrics if each.metric in facts.metrics]
    three_ways, base_unavailable = _triples(items, task, pairs, stored, base if task in right.evaluations else None)
    shown = primary_metric(stored)
    flips: tuple[Flip, ...] = ()
    total: int | None = None
    if shown is not None and left is not right and not earlier:
        flips, total = find_flips(task, shown, pairs, read)
    return _Task(
        metrics=metrics,
        documents=documents,
        behaviour=None if earlier else behaviour(task, pairs, read, lower_is_better=facts.lower_is_better),
        flips=flips,
        flips_total=total,
        three_ways=three_ways,
        base_unavailable=base_unavailable,
        wholes=wholes_of(facts, pairs, left, right),
        asked=Asked(items=pairs.plan.items, places=pairs.places),
    )


def parts_of(facts: TaskRun) -> tuple[str, ...]:
    """Metrics of the whole of which each record holds its part."""
    return facts.whole if facts.kind == "generate" else ()


def wholes_of(facts: TaskRun, pairs: Pairs, left: VariantRun, right: VariantRun) -> tuple[WholePairs, ...]:
    """A task's metrics of the whole; none where a side was stopped in it: a part of the items is not the whole."""
    if any(each.stopped is not None and each.stopped.task == facts.task for each in (left, right)):
        return ()
    return whole_pairs(facts.task, facts.kind, pairs, facts.whole)


def _triples(
    items: Items, task: str, pairs: Pairs, metrics: Sequence[PairedMetric], base: VariantRun | None
) -> tuple[tuple[ThreeWay, ...], str]:
    """The model before fine-tuning joined with the pairs, or why it could not be."""
    if base is None or task not in base.evaluations:
        return (), ""
    try:
        return task_three_ways(task, pairs, items.side(task, base.evaluations[task]), metrics), ""
    except PairingError as error:
        return (), str(error)


def stopped_parts(items: Items, *sides: VariantRun) -> dict[str, Part]:
    """The tasks at which a side was stopped."""
    stops = [each.stopped for each in sides if each.stopped is not None and each.stopped.task in items.run.tasks]
    return {stop.task: Part(stop=stop, largest=largest_cluster(items.plan(stop.task))) for stop in stops}


def primary_metric(metrics: Sequence[PairedMetric]) -> str | None:
    """The metric whose flips are shown: the first of right or wrong answers, one or several to an item."""
    return next((metric.metric for metric in metrics if metric.flips), None)
