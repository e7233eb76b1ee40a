"""What a finding was judged on, read again from the store: the sample that `gate` selects, and the records behind it.

The gate is rebuilt from the finding itself, so a verdict made under another suite's gates is explained too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from harness.comparison.base_answers import BaseAnswers, base_answers
from harness.comparison.candidates import CandidateComparison, OneTask, one_task
from harness.comparison.promoted import memory_of, promoted_versions
from harness.comparison.task_sides import NOTHING_PAIRED, Paired
from harness.derivations.shapes import Derivation
from harness.forms.base import Form, Judgement
from harness.gates.evidence import Evidence, select
from harness.metrics.table import is_derived
from harness.records.columns import Indices
from harness.records.findings import Finding
from harness.records.run_manifest import RunManifest
from harness.records.store import Store
from harness.records.timings import SpeedRecord
from harness.samples.sample import Sample, StoppedPart
from harness.samples.timed_pairs import loaded_memory, speed_pairs
from harness.suite.gate_model import Gate


class UnexplainedError(Exception):
    """Nothing was computed for this finding; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What one finding rests on."""

    finding: Finding
    gate: Gate
    evidence: Evidence
    task: OneTask | None = None
    """The records behind items and documents; None for what was timed or weighed."""
    within: Indices
    """Which of the task's pairs the sample has; of a stopped task in the order asked."""
    base: BaseAnswers | None = None
    """The model before fine-tuning on these items, where the gate looks at it."""
    record: SpeedRecord | None = None
    """What was timed or weighed."""
    parts: Mapping[str, OneTask] = field(default_factory=dict)
    """The records of each task, where several are judged as one."""

    @property
    def form(self) -> Form:
        return self.gate.row

    @property
    def sample(self) -> Sample | Judgement:
        return self.evidence.sample

    @property
    def asked(self) -> Evidence:
        """With the pairs of a stopped task in the order asked."""
        part = self.sample
        if not isinstance(part, StoppedPart):
            return self.evidence
        return replace(self.evidence, sample=replace(part, pairs=part.pairs.taken(self.within)))

    def name(self, place: int) -> str:
        """The item or document at a place of the sample."""
        assert self.task is not None
        return self.task.pairs.name(int(self.within[place]))

    def judge(self, limit: float, alpha: float) -> Judgement:
        """What the gate says of these very data at another limit and alpha."""
        return self.evidence.judge(self.form, limit=limit, alpha=alpha)

    def derive(self) -> Derivation:
        """How its own numbers come about."""
        return self.asked.derive(self.form, limit=self.finding.limit, alpha=self.finding.alpha)


TaskReader = Callable[[str, str, bool, bool], OneTask]
"""(task, variant, to the reference?, clean?) to the pairs; several findings of a task share them."""


def reading(store: Store, run: RunManifest) -> TaskReader:
    """Pairs each task once."""

    @cache
    def read(task: str, variant: str, to_reference: bool, clean: bool) -> OneTask:
        return one_task(store, run, task, variant, to_reference=to_reference, clean=clean)

    return read


def gather(store: Store, run: RunManifest, finding: Finding, tasks: TaskReader) -> Basis:
    """Read what a finding was judged on.

    Raises `UnexplainedError` or `PairingError` where nothing was computed, ValueError for a form that this version does
    not know, `RecordError` for damaged records.
    """
    gate = Gate.model_validate(
        {
            "metric": finding.metric, "task": None if finding.tasks else finding.task, "tasks": finding.tasks or None,
            "slice": finding.slice, "workload": finding.workload, finding.form: finding.limit,
        }
    )  # fmt: skip
    if finding.task is None:
        record = _record(store, run, finding)
        evidence = _select(run, finding, gate, NOTHING_PAIRED, record)
        return Basis(finding=finding, gate=gate, evidence=evidence, within=np.arange(0), record=record)
    if finding.tasks:
        return _several(run, finding, gate, tasks)
    task, base = tasks(finding.task, finding.variant, finding.reference, finding.items == "clean"), None
    paired = task.paired
    if finding.task in paired.parts and finding.early_alpha is None:
        raise UnexplainedError("it was judged by another version of quantgate; `quantgate gate RUN` judges again")
    if gate.row.looks_at == "base":
        stored = tuple(each for each in paired.metrics.values() if not is_derived(each.metric))
        base = base_answers(store, run, finding.task, task.pairs, stored)
        paired = replace(paired, three_ways={(each.task, each.metric): each for each in base.three_ways})
    evidence, pairs = _select(run, finding, gate, paired, None), task.pairs
    within = np.arange(pairs.places.size) if finding.slice is None else pairs.slices[finding.slice]
    if isinstance(evidence.sample, StoppedPart):
        within = np.lexsort((pairs.candidate.places, pairs.candidate.chunks))
    return Basis(finding=finding, gate=gate, evidence=evidence, task=task, within=within, base=base)


def _several(run: RunManifest, finding: Finding, gate: Gate, tasks: TaskReader) -> Basis:
    """The pairs of every task of a gate on several."""
    parts = {name: tasks(name, finding.variant, finding.reference, finding.items == "clean") for name in finding.tasks}
    paired = replace(
        NOTHING_PAIRED,
        metrics={key: metric for part in parts.values() for key, metric in part.paired.metrics.items()},
        parts={name: stop for part in parts.values() for name, stop in part.paired.parts.items()},
        asked={name: each for part in parts.values() for name, each in part.paired.asked.items()},
    )
    evidence = _select(run, finding, gate, paired, None)
    return Basis(finding=finding, gate=gate, evidence=evidence, within=np.arange(0), parts=parts)


def _select(run: RunManifest, finding: Finding, gate: Gate, paired: Paired, record: SpeedRecord | None) -> Evidence:
    """The one sample of the finding, as `gate` selected it."""
    candidate = CandidateComparison(
        variant=finding.variant, run=run.variants[finding.variant], paired=paired, reference=None, clean=None,
        speed=record, speed_pairs=() if record is None else speed_pairs(record), manifests={},
    )  # fmt: skip
    chances = 1 if finding.early_alpha is None else round(finding.alpha / finding.early_alpha)
    return select(gate, paired, candidate, chances=chances)[0]


def _record(store: Store, run: RunManifest, finding: Finding) -> SpeedRecord | None:
    """The candidate's figures, beside the baseline's or the promoted version's."""
    variant = run.variants[finding.variant]
    record = store.speed(variant.speed) if variant.speed else loaded_memory(run, variant)
    if record is None or not finding.reference:
        return record
    promoted = promoted_versions(store, run)
    figures = memory_of(store, promoted[-1]) if promoted else None
    if figures is None:
        raise UnexplainedError("the promoted version's memory was not measured")
    return record.model_copy(update={"baseline_memory": figures[0], "baseline": promoted[-1].name})
