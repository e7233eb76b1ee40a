"""Imported results into the results folder: the baseline's items as plans, each side's answers as evaluations.

An evaluation is stored under what was imported: SHA-256 of the files, and the plan. Importing the same files again
finds it there. What a side was asked is held against the plan item by item, before anything of it counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.imports.items import Group, Indexing, NotTheSameError, PlanIndex, groups, planned, recorded
from harness.imports.shape import ImportedSide, ImportedTask, Selection, UnreadableError
from harness.records.evaluation_manifest import (
    EngineFacts,
    EvaluationManifest,
    Host,
    Identity,
    ImportFacts,
    evaluation_key,
)
from harness.records.items import PlannedItem
from harness.records.store import Store

CHUNK = 500
"""Items a line of an evaluation."""
CODE = "import-1"
"""Stands for how items are read and recorded; raised where the same files would be recorded otherwise."""
ENGINE = "import"
UNKNOWN = "unknown"
CUT = 120
"""Characters of a text in a message."""


@dataclass(frozen=True, kw_only=True)
class StoredPlan:
    """A task of the baseline as it is stored."""

    name: str
    """As the suite has it."""
    task: ImportedTask
    selection: Selection
    hash: str
    count: int
    fields: tuple[str, ...]
    """Slice fields of its items."""
    index: PlanIndex


def store_plan(store: Store, name: str, task: ImportedTask, selection: Selection) -> StoredPlan:
    """Reads the baseline's items once and stores them as the task's plan. Raises `UnreadableError`."""
    indexing, count = Indexing(), 0
    fields: tuple[str, ...] = ()

    def items() -> Iterator[PlannedItem]:
        nonlocal count, fields
        for count, group in enumerate(groups(task, selection), start=1):
            indexing.add(group)
            item = planned(group, count - 1)
            fields = fields or tuple(item.slices)
            if tuple(item.slices) != fields:
                says = f"expected the slices {', '.join(fields) or 'none'}, as in the items before"
                raise UnreadableError(group.first.place, f"{says}, got {', '.join(item.slices) or 'none'}")
            yield item

    settings = {"import": CODE, "kind": task.kind, "metrics": [metric.name for metric in task.metrics]}
    plan_hash = store.save_streamed_plan(json.dumps(settings), items())
    index = indexing.finished()
    if index.repeated is not None:
        raise _twice(task, selection, index.repeated)
    return StoredPlan(
        name=name, task=task, selection=selection, hash=plan_hash, count=count, fields=fields, index=index
    )


def _twice(task: ImportedTask, selection: Selection, second: int) -> UnreadableError:
    """The error for an item that comes again after others; `second` is its later place."""
    places: dict[str, str] = {}
    for place, group in enumerate(groups(task, selection)):
        first = places.setdefault(group.first.id, group.first.place)
        if place == second:
            return UnreadableError(group.first.place, f"item {group.first.id!r} of {task.name} is at {first} already")
    raise AssertionError("an item that was counted is not there any more")


def weights_of(side: ImportedSide) -> str:
    """What stands in the place of a hash of weights: SHA-256 over the files."""
    digest = hashlib.sha256(" ".join(sorted(each.sha256 for each in side.files)).encode())
    return f"imported:{digest.hexdigest()}"


def identity_of(side: ImportedSide, plan: StoredPlan, attempt: str = "") -> Identity:
    return Identity(
        weights=weights_of(side),
        quantization="",
        tokenizer="",
        requests=plan.hash,
        engine=ENGINE,
        versions={side.library: side.version or UNKNOWN},
        dtype=side.noted.get("dtype", UNKNOWN),
        device_type=side.noted.get("device", UNKNOWN),
        batching=CODE,
        attempt=attempt,
    )


def facts_of(side: ImportedSide) -> EngineFacts:
    """What the files say of the model; nothing of it was seen here."""
    shown = _shown_names([each.path for each in side.files])
    return EngineFacts(
        engine=ENGINE,
        architecture=UNKNOWN,
        model_type=UNKNOWN,
        parameters=0,
        dtype=side.noted.get("dtype", UNKNOWN),
        device=side.noted.get("device", UNKNOWN),
        versions={side.library: side.version or UNKNOWN},
        scoring_path="imported",
        imported=ImportFacts(
            model=side.model,
            library=side.library,
            version=side.version,
            files={name: each.sha256 for name, each in zip(shown, side.files, strict=True)},
            noted=dict(side.noted),
        ),
        notes=side.notes,
    )


def _shown_names(paths: list[Path]) -> list[str]:
    """File names, with the folder where two are called the same."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def store_evaluation(
    store: Store, side: ImportedSide, task: ImportedTask, plan: StoredPlan, variant: str, host: Host, identity: Identity
) -> str:
    """Reads a side's items, holds them against the plan and stores them; returns the evaluation's key.

    Raises `UnreadableError`, and `NotTheSameError` where the side was not asked what is planned; nothing is kept then.
    """
    key = evaluation_key(identity)
    chunks = store.begin_anew(key)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    batch, count = [], 0
    try:
        for group in _checked(store, groups(task, plan.selection), plan, task):
            batch.append(recorded(group, plan.task))
            count += 1
            if len(batch) == CHUNK:
                chunks.append(batch)
                batch = []
        if batch:
            chunks.append(batch)
    except BaseException:
        chunks.path.unlink(missing_ok=True)
        raise
    store.complete(
        EvaluationManifest(
            key=key,
            identity=identity,
            variant=variant,
            task=plan.name,
            items=count,
            chunks=len(chunks.digests),
            digest=chunks.digest(),
            facts=facts_of(side),
            host=host,
            started_at=started,
            elapsed_s=0.0,
        )
    )
    return key


def _checked(store: Store, items: Iterator[Group], plan: StoredPlan, task: ImportedTask) -> Iterator[Group]:
    """The items, each of which the plan has and once. Raises `NotTheSameError`."""
    seen = bytearray(plan.count)
    for group in items:
        item, where = group.first, group.first.place
        place = plan.index.place(item.id)
        if place is None:
            raise NotTheSameError(f"{where}: item {item.id!r} of {plan.name} is not in {plan.task.source}")
        if seen[place]:
            raise UnreadableError(where, f"item {item.id!r} of {task.name} comes twice")
        seen[place] = 1
        if differing := plan.index.differing(place, group):
            raise NotTheSameError(_differs(store, plan, place, group, differing))
        yield group
    lacking = seen.count(0)
    if lacking:
        first = _planned_at(store, plan, seen.index(0)).item
        says = f"lacks {lacking:,} of the {plan.count:,} items of {plan.name} in {plan.task.source}"
        raise NotTheSameError(f"{task.source}: {says}, first {first!r}")


def _differs(store: Store, plan: StoredPlan, place: int, group: Group, differing: list[str]) -> str:
    then, now = _planned_at(store, plan, place), planned(group, place)
    pairs = {
        "prompt": (then.prompt, now.prompt),
        "options": (json.dumps(then.options), json.dumps(now.options)),
        "target": (then.expected, now.expected),
    }
    says = f"{group.first.place}: item {now.item!r} of {plan.name} differs from {plan.task.source} in its"
    says += f" {' and its '.join(differing)}"
    for name in differing:
        if name in pairs and pairs[name][0] != pairs[name][1]:
            return f"{says}: {_apart(*pairs[name])}"
    return says


def _apart(then: str, now: str) -> str:
    """Both texts from shortly before the first character in which they differ."""
    at = next((i for i, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), min(len(then), len(now)))
    start = max(0, at - CUT // 2)
    before = "…" if start else ""
    return f"expected {before}{then[start : start + CUT]!r}, got {before}{now[start : start + CUT]!r}"


def _planned_at(store: Store, plan: StoredPlan, place: int) -> PlannedItem:
    return next(item for number, item in enumerate(store.planned_items(plan.hash)) if number == place)
