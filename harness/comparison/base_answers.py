"""The answers of the model before fine-tuning to the pairs of one task, read from the store for one finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.metrics.table import is_derived
from harness.records.columns import Answers, Indices
from harness.records.items import ItemRecord, PlannedItem
from harness.records.run_manifest import RunManifest, VariantRun
from harness.records.store import Store
from harness.samples.base_pairs import ThreeWay, task_three_ways
from harness.samples.pairs import PairedMetric, PairingError, Pairs, align


@dataclass(frozen=True, kw_only=True)
class BaseAnswers:
    """The answers of the model before fine-tuning to the pairs of one task."""

    run: VariantRun
    answers: Answers
    """Its answers to the items of the pairs, in their order."""
    three_ways: tuple[ThreeWay, ...]
    read: Callable[[Indices], Iterable[tuple[PlannedItem, ItemRecord]]]
    """Reads some of the items in full, with what that model answered."""


def base_answers(
    store: Store, run: RunManifest, task: str, pairs: Pairs, metrics: Sequence[PairedMetric]
) -> BaseAnswers:
    """The run's base on the items of `pairs`, as `compare_run` sets it there. `metrics`: the task's own over them.

    Raises `PairingError` where it was not asked or does not fit the plan; `RecordError` for damaged records.
    """
    base = run.base
    if base is None or task not in base.evaluations:
        raise PairingError(f"{task}: not evaluated by the base model of run {run.run}")
    key, facts = base.evaluations[task], run.tasks[task]
    side = align(pairs.plan, store.columns(key, facts.metrics))
    stored = [each for each in metrics if not is_derived(each.metric)]
    three_ways = task_three_ways(task, pairs, side, stored)
    answers = side.answers.taken(side.order[pairs.places])

    def read(wanted: Indices) -> Iterable[tuple[PlannedItem, ItemRecord]]:
        planned = store.planned(facts.plan, pairs.plan.lines[pairs.places[wanted]].tolist())
        return zip(planned, store.records(key, answers, wanted.tolist()), strict=True)

    return BaseAnswers(run=base, answers=answers, three_ways=three_ways, read=read)
