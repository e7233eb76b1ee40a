"""What one variant answered to one task of a run, in the plan's order. Owns which answers belong to a run.

Holds two numbers per item and reads each record on demand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.records.items import ItemRecord, PlannedItem
from harness.records.record_index import RecordIndex
from harness.records.run_manifest import RunManifest, TaskRun, VariantRun
from harness.records.store import Store


@dataclass(frozen=True, kw_only=True)
class VariantAnswers:
    """One variant's answers to one task."""

    store: Store
    variant: VariantRun
    task: TaskRun
    records: RecordIndex

    def __iter__(self) -> Iterator[tuple[PlannedItem, ItemRecord]]:
        """Every answered item, once; reads again with every call. Raises `RecordError` for a damaged store."""
        planned = self.store.planned_items(self.task.plan)
        for item, record in zip(planned, self.records, strict=True):
            if record is not None:
                yield item, record


def variants_of(manifest: RunManifest) -> tuple[VariantRun, ...]:
    """Baseline and candidates, then the model before fine-tuning where there is one."""
    base = () if manifest.base is None else (manifest.base,)
    return (*manifest.variants.values(), *base)


def answers_of(store: Store, manifest: RunManifest, variant: VariantRun, task: str) -> VariantAnswers | None:
    """None where the variant has no answers to this task. Raises `RecordError` for a damaged store."""
    if task not in variant.answered:
        return None
    facts = manifest.tasks[task]
    places = {item.item: place for place, item in enumerate(store.planned_items(facts.plan))}
    records = records_in_order(store, variant, task, places)
    return VariantAnswers(store=store, variant=variant, task=facts, records=records)


def records_in_order(store: Store, variant: VariantRun, task: str, places: Mapping[str, int]) -> RecordIndex:
    """The records by place; of a variant that was stopped early, those that it had until then."""
    if task in variant.evaluations or variant.stopped is None:
        return store.ordered(variant.evaluations[task], places)
    return store.ordered_part(variant.stopped, places)
