"""A run's candidates beside its baseline, and beside the last promoted version where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.compare.documents import DocumentPairs, document_pairs
from harness.compare.flips import Reader, find_flips
from harness.compare.pairs import PairedMetric, PairingError, Pairs, Side, lay_out, pair_items, paired_metric
from harness.compare.timing import SpeedPairs, speed_pairs
from harness.errors import RecordError
from harness.records.columns import Indices, PlanColumns
from harness.records.models import (
    EvaluationManifest,
    ItemRecord,
    PlannedItem,
    RunManifest,
    SpeedRecord,
    VariantRun,
)
from harness.records.store import Store
from harness.records.verdict import Flip


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


@dataclass(frozen=True, kw_only=True)
class CandidateComparison:
    """One candidate. `paired` is None when it was not evaluated at all."""

    variant: str
    run: VariantRun
    paired: Paired
    reference: Paired | None
    clean: Paired | None
    """Without the items that share passages with its calibration data; None when there are none such."""
    speed: SpeedRecord | None
    speed_pairs: tuple[SpeedPairs, ...]
    manifests: Mapping[str, EvaluationManifest]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A whole run, in memory."""

    run: RunManifest
    baseline: Paired
    """The baseline paired with itself: its own levels, for floors."""
    baseline_manifests: Mapping[str, EvaluationManifest]
    candidates: tuple[CandidateComparison, ...]
    reference_name: str | None
    """`variant@run` of the last promoted version, where there is one."""


def compare_run(store: Store, run: RunManifest) -> Comparison:
    """Pair every candidate of a run with its baseline. Raises `RecordError` for missing or damaged records."""
    items = _Items(store, run)
    baseline = run.variants[run.baseline]
    reference_name, reference = _reference(store, run)
    candidates = []
    for name, variant in run.variants.items():
        if name == run.baseline:
            continue
        speed = store.speed(variant.speed) if variant.speed else None
        candidates.append(
            CandidateComparison(
                variant=name,
                run=variant,
                paired=_pair(items, baseline, variant),
                reference=None if reference is None else _pair(items, reference, variant),
                clean=_pair(items, baseline, variant, without=copied) if (copied := _copied(variant)) else None,
                speed=speed,
                speed_pairs=speed_pairs(speed) if speed is not None else (),
                manifests=_manifests(store, variant),
            )
        )
    return Comparison(
        run=run,
        baseline=_pair(items, baseline, baseline),
        baseline_manifests=_manifests(store, baseline),
        candidates=tuple(candidates),
        reference_name=reference_name,
    )


class _Items:
    """Reads each evaluation and each plan once, as columns."""

    def __init__(self, store: Store, run: RunManifest) -> None:
        self.store = store
        self.run = run
        self._sides: dict[str, Side] = {}
        self._plans: dict[str, PlanColumns] = {}

    def side(self, task: str, key: str) -> Side:
        if key not in self._sides:
            columns = self.store.columns(key, self.run.tasks[task].metrics)
            self._sides[key] = lay_out(self.plan(task), columns)
        return self._sides[key]

    def plan(self, task: str) -> PlanColumns:
        if task not in self._plans:
            self._plans[task] = self.store.plan_columns(self.run.tasks[task].plan)
        return self._plans[task]

    def reader(self, task: str, keys: tuple[str, str], pairs: Pairs) -> Reader:
        """Reads some of the pairs in full, from the evaluations with these keys."""

        def read(wanted: Indices) -> Iterable[tuple[PlannedItem, ItemRecord, ItemRecord]]:
            planned = self.store.planned(self.run.tasks[task].plan, pairs.plan.lines[pairs.places[wanted]].tolist())
            left = self.store.records(keys[0], pairs.baseline, wanted.tolist())
            right = self.store.records(keys[1], pairs.candidate, wanted.tolist())
            return zip(planned, left, right, strict=True)

        return read


def _manifests(store: Store, variant: VariantRun) -> dict[str, EvaluationManifest]:
    found = {task: store.evaluation(key) for task, key in variant.evaluations.items()}
    return {task: manifest for task, manifest in found.items() if manifest is not None}


def _reference(store: Store, run: RunManifest) -> tuple[str | None, VariantRun | None]:
    if run.reference is None or run.reference_variant is None:
        return None, None
    try:
        earlier = store.find_run(run.reference)
    except Exception as error:  # the promoted run was deleted by hand: say so instead of comparing with nothing
        raise RecordError(
            f"the promoted run {run.reference} is gone ({error}); promote another with `quantgate promote`"
        ) from error
    return f"{run.reference_variant}@{earlier.run}", earlier.variants.get(run.reference_variant)


def _copied(variant: VariantRun) -> dict[str, frozenset[str]]:
    """Task to the items that share long passages with the variant's calibration data."""
    return {each.task: frozenset(each.copied_items) for each in variant.calibration if each.copied_items}


def _pair(
    items: _Items, left: VariantRun, right: VariantRun, *, without: Mapping[str, frozenset[str]] | None = None
) -> Paired:
    """Pair two sides on every task both evaluated. Slices and clusters come from the plan."""
    metrics: dict[tuple[str, str], PairedMetric] = {}
    documents: dict[str, DocumentPairs] = {}
    broken: dict[str, str] = {}
    flips: list[Flip] = []
    totals: dict[str, int] = {}
    for task, facts in items.run.tasks.items():
        if task not in left.evaluations or task not in right.evaluations:
            continue
        keys = left.evaluations[task], right.evaluations[task]
        try:
            pairs = pair_items(
                task,
                items.plan(task),
                items.side(task, keys[0]),
                items.side(task, keys[1]),
                names=(left.variant, right.variant),
                without=(without or {}).get(task, frozenset()),
            )
            if facts.kind == "perplexity":
                documents[task] = document_pairs(task, pairs)
                continue
            for metric in facts.metrics:
                metrics[task, metric] = paired_metric(
                    task, metric, pairs, higher_is_better=metric not in facts.lower_is_better
                )
            shown = primary_metric([metrics[task, metric] for metric in facts.metrics])
            if shown is not None and left is not right:
                found, totals[task] = find_flips(task, shown, pairs, items.reader(task, keys, pairs))
                flips.extend(found)
        except PairingError as error:
            broken[task] = str(error)
    return Paired(metrics=metrics, documents=documents, broken=broken, flips=tuple(flips), flips_total=totals)


def primary_metric(metrics: Sequence[PairedMetric]) -> str | None:
    """The metric whose flips are shown: the first binary one."""
    return next((metric.metric for metric in metrics if metric.kind == "binary"), None)
