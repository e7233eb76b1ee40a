"""`quantgate show`: every item of a run, one row per item and variant, as JSON lines or CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError
from harness.records.models import Failed, ItemRecord, PlannedItem
from harness.records.store import Store

Cell = str | int | float | bool | None | list[float | None] | list[str] | dict[str, str]


def export(run: str, results: Path, *, task: str | None, form: str) -> None:
    """Print the items. Raises `UsageError` for an unknown task or format."""
    if form not in ("jsonl", "csv"):
        raise UsageError(f"--format {form}: expected jsonl or csv")
    rows = item_rows(Store(results), run, task)
    if form == "jsonl":
        for row in rows:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        return
    everything = [{name: _cell(value) for name, value in row.items()} for row in rows]
    columns = list(dict.fromkeys(name for row in everything for name in row))
    writer = csv.DictWriter(sys.stdout, fieldnames=columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(everything)


def item_rows(store: Store, run: str, task: str | None) -> Iterator[dict[str, Cell]]:
    """One row per task, item and variant, in plan order."""
    manifest = store.find_run(run)
    if task is not None and task not in manifest.tasks:
        raise UsageError(f"--task {task}: run {manifest.run} has {', '.join(manifest.tasks)}")
    for name, facts in manifest.tasks.items():
        if task not in (None, name):
            continue
        plan = {item.item: item for item in store.plan(facts.plan)}
        answers = {
            variant: {record.item: record for record in store.items(each.evaluations[name])}
            for variant, each in manifest.variants.items()
            if name in each.evaluations
        }
        for item, planned in plan.items():
            for variant, records in answers.items():
                if item in records:
                    yield _row(name, variant, planned, records[item])


def _row(task: str, variant: str, planned: PlannedItem, record: ItemRecord) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "task": task,
        "item": record.item,
        "variant": variant,
        "prompt_hash": record.prompt_hash,
        "slices": planned.slices,
        "cluster": planned.cluster,
        "prompt": planned.prompt,
        "expected": planned.expected,
    }
    if record.options:
        row["options"] = list(planned.options)
        row["log_likelihoods"] = [option.log_likelihood for option in record.options]
    if record.answer is not None:
        row["text"] = record.answer.text
        row["tokens"] = record.answer.tokens
        row["finish"] = record.answer.finish
    if record.document is not None:
        row["nll"] = record.document.nll
        row["tokens"] = record.document.tokens
        row["kl"] = record.document.kl
        row["top1_agree"] = record.document.top1_agree
    for metric, outcome in record.metrics.items():
        row[metric] = None if isinstance(outcome, Failed) else outcome.value
        if isinstance(outcome, Failed):
            row["error"] = outcome.error
    return row


def _cell(value: Cell) -> str | int | float | bool | None:
    """CSV has no lists: they become JSON. A text that a spreadsheet would run as a formula gets a quote in front."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value
