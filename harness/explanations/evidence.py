"""What a finding was judged on, read again from the store, and its judge. Owns the way from a finding to its arrays.

The gate is rebuilt from the finding itself, so a verdict made under another suite's gates is explained too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from harness.comparison.base_answers import BaseAnswers, base_answers
from harness.comparison.candidates import CandidateComparison, one_task
from harness.comparison.flips import Reader
from harness.comparison.promoted import memory_of, promoted_versions
from harness.comparison.sequential_test import Part, largest_cluster
from harness.comparison.task_sides import Paired
from harness.forms.base import Judgement
from harness.gates.evidence import select
from harness.metrics.table import lookup
from harness.records.columns import Indices
from harness.records.findings import Finding
from harness.records.run_manifest import RunManifest, VariantRun
from harness.records.store import Store
from harness.records.timings import SpeedRecord
from harness.samples.base_pairs import ThreeWay
from harness.samples.documents import DocumentPairs, document_pairs
from harness.samples.measures import only_documents
from harness.samples.pairs import PairedMetric, Pairs, paired_metric
from harness.samples.timed_pairs import SpeedPairs, loaded_memory, speed_pairs
from harness.suite.gate_model import Gate


class UnexplainedError(Exception):
    """Nothing was computed for this finding; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Items:
    """A per-item metric over the pairs of a task, or of one slice."""

    metric: PairedMetric
    pairs: Pairs
    within: Indices
    """Which of `pairs` they are."""
    read: Reader
    sides: tuple[VariantRun, VariantRun]


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Documents of a perplexity task, or of one slice, with their names."""

    documents: DocumentPairs
    names: tuple[str, ...]
    sides: tuple[VariantRun, VariantRun]


@dataclass(frozen=True, kw_only=True)
class ThreeWays:
    """A metric of three models over the items or documents of a task, or of one slice."""

    three_way: ThreeWay
    pairs: Pairs
    within: Indices
    """Which of `pairs` they are."""
    read: Reader
    sides: tuple[VariantRun, VariantRun]
    """The fine-tuned model and the candidate."""
    base: BaseAnswers


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The items that a variant was asked on a task before it was stopped early."""

    metric: PairedMetric
    pairs: Pairs
    within: Indices
    read: Reader
    sides: tuple[VariantRun, VariantRun]
    part: Part
    alpha: float
    """The test's share of alpha."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One speed metric of one workload."""

    pairs: SpeedPairs
    record: SpeedRecord


@dataclass(frozen=True, kw_only=True)
class Memory:
    record: SpeedRecord


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The data of one finding, and its judge: (limit, alpha) to what the gate says of these very data."""

    finding: Finding
    gate: Gate
    data: Items | Documents | ThreeWays | Stopped | Speed | Memory
    judge: Callable[[float, float], Judgement]


OfTask = tuple[Pairs, Reader, tuple[VariantRun, VariantRun]]
TaskPairs = Callable[[str, str, bool, bool], OfTask]
"""(task, variant, to the reference?, clean?) to the pairs; several findings of a task share them."""


def reading(store: Store, run: RunManifest) -> TaskPairs:
    """Pairs each task once."""

    @cache
    def read(task: str, variant: str, to_reference: bool, clean: bool) -> OfTask:
        return one_task(store, run, task, variant, to_reference=to_reference, clean=clean)

    return read


def gather(store: Store, run: RunManifest, finding: Finding, paired: TaskPairs) -> Evidence:
    """Read what a finding was judged on.

    Raises `UnexplainedError` or `PairingError` where nothing was computed, ValueError for a form that this version does
    not know, `RecordError` for damaged records.
    """
    gate = Gate.model_validate(
        {
            "metric": finding.metric, "task": finding.task, "slice": finding.slice, "workload": finding.workload,
            finding.form: finding.limit,
        }
    )  # fmt: skip
    metric = lookup(finding.metric)
    kind = metric.kind if metric is not None else "graded"
    if kind in ("speed", "memory"):
        return _timed(store, run, finding, gate, memory=kind == "memory")
    task = finding.task or ""
    pairs, read, sides = paired(task, finding.variant, finding.reference, finding.items == "clean")
    if gate.row.looks_at == "base":
        return _retained(store, run, finding, gate, (pairs, read, sides))
    if kind in ("perplexity", "divergence"):
        documents, names = _documents(task, pairs, finding.slice)
        return Evidence(
            finding=finding,
            gate=gate,
            data=Documents(documents=documents, names=names, sides=sides),
            judge=_judge(gate, _paired(documents={task: document_pairs(task, pairs)})),
        )
    whole = paired_metric(
        task, finding.metric, pairs, higher_is_better=finding.metric not in run.tasks[task].lower_is_better
    )
    within = np.arange(whole.count) if finding.slice is None else _members(whole.slices, finding.slice)
    part = whole if finding.slice is None else whole.only(finding.slice)
    if sides[1].stopped is not None and task not in sides[1].evaluations:
        return _stopped(finding, gate, whole, (pairs, read, sides))
    return Evidence(
        finding=finding,
        gate=gate,
        data=Items(metric=part, pairs=pairs, within=within, read=read, sides=sides),
        judge=_judge(gate, _paired(metrics={(task, finding.metric): whole})),
    )


def _retained(store: Store, run: RunManifest, finding: Finding, gate: Gate, found: OfTask) -> Evidence:
    """`min_retained`: the model before fine-tuning beside the pairs."""
    pairs, read, sides = found
    beside = base_answers(store, run, finding.task or "", pairs)
    whole = next((each for each in beside.three_ways if each.metric == finding.metric), None)
    if whole is None:
        raise UnexplainedError(f"{finding.metric} was not measured on the base model")
    part, within = whole, np.arange(whole.count)
    if finding.slice is not None:
        within, part = _members(whole.slices, finding.slice), whole.only(finding.slice)
    return Evidence(
        finding=finding,
        gate=gate,
        data=ThreeWays(three_way=part, pairs=pairs, within=within, read=read, sides=sides, base=beside),
        judge=_judge(gate, _paired(three_ways={(whole.task, whole.metric): whole})),
    )


def _stopped(finding: Finding, gate: Gate, metric: PairedMetric, found: OfTask) -> Evidence:
    """A FAIL of a variant that was stopped early. `alpha` of its judge is the gate's own, before it is shared."""
    pairs, read, sides = found
    stop = sides[1].stopped
    shared = finding.early_alpha
    if stop is None or shared is None:
        raise UnexplainedError("it was judged by another version of quantgate; `quantgate gate RUN` judges again")
    part = Part(stop=stop, largest=largest_cluster(pairs.plan))
    paired = _paired(metrics={(metric.task, metric.metric): metric}, parts={metric.task: part})
    return Evidence(
        finding=finding,
        gate=gate,
        data=Stopped(
            metric=metric, pairs=pairs, within=np.arange(metric.count), read=read, sides=sides, part=part, alpha=shared
        ),
        judge=_judge(gate, paired, chances=round(finding.alpha / shared)),
    )


def _paired(
    *,
    metrics: Mapping[tuple[str, str], PairedMetric] | None = None,
    documents: Mapping[str, DocumentPairs] | None = None,
    three_ways: Mapping[tuple[str, str], ThreeWay] | None = None,
    parts: Mapping[str, Part] | None = None,
) -> Paired:
    """What one finding was judged on, as a comparison of whole sides holds it."""
    return Paired(
        metrics=metrics or {}, documents=documents or {}, broken={}, flips=(), flips_total={}, behaviours={},
        three_ways=three_ways or {}, parts=parts or {},
    )  # fmt: skip


def _judge(
    gate: Gate, paired: Paired, candidate: CandidateComparison | None = None, *, chances: int = 1
) -> Callable[[float, float], Judgement]:
    """The gate's own judge of the one sample that it looks at here, under any limit and alpha."""
    (sample,) = select(gate, paired, candidate, chances=chances)
    return lambda limit, alpha: sample.judge(gate.row, limit=limit, alpha=alpha)


def _members(slices: Mapping[str, Indices], name: str) -> Indices:
    if name not in slices:
        raise UnexplainedError(f"no item lies in slice {name!r}")
    return slices[name]


def _documents(task: str, pairs: Pairs, slice_name: str | None) -> tuple[DocumentPairs, tuple[str, ...]]:
    whole = document_pairs(task, pairs)
    left_out = {*whole.failed, *whole.baseline_failed}
    names = tuple(name for name in (pairs.name(pair) for pair in range(pairs.places.size)) if name not in left_out)
    if slice_name is None:
        return whole, names
    inside = _members(whole.slices, slice_name)
    return only_documents(whole, slice_name), tuple(names[place] for place in inside.tolist())


def _beside_reference(store: Store, run: RunManifest, record: SpeedRecord) -> SpeedRecord:
    """The candidate's figures with the promoted version's in place of the baseline's."""
    promoted = promoted_versions(store, run)
    figures = memory_of(store, promoted[-1]) if promoted else None
    if figures is None:
        raise UnexplainedError("the promoted version's memory was not measured")
    return record.model_copy(update={"baseline_memory": figures[0], "baseline": promoted[-1].name})


def _timed(store: Store, run: RunManifest, finding: Finding, gate: Gate, *, memory: bool) -> Evidence:
    key = run.variants[finding.variant].speed
    record = store.speed(key) if key else loaded_memory(run, run.variants[finding.variant]) if memory else None
    if record is None:
        raise UnexplainedError(f"{finding.metric} was not measured in this run")
    if finding.reference:
        record = _beside_reference(store, run, record)
    timed = CandidateComparison(
        variant=finding.variant, run=run.variants[finding.variant], paired=_paired(), reference=None, clean=None,
        speed=record, speed_pairs=(), manifests={},
    )  # fmt: skip
    if memory:
        return Evidence(
            finding=finding,
            gate=gate,
            data=Memory(record=record),
            judge=_judge(gate, _paired(), timed),
        )
    found = [
        each
        for each in speed_pairs(record)
        if (each.metric, each.workload) == (finding.metric, finding.workload or each.workload)
    ]
    if not found:
        raise UnexplainedError(f"{finding.metric} was not measured in this run")
    pairs = found[0]
    return Evidence(
        finding=finding,
        gate=gate,
        data=Speed(pairs=pairs, record=record),
        judge=_judge(gate, _paired(), replace(timed, speed_pairs=(pairs,))),
    )
