"""`quantgate show`: every item of a run, one row per item and variant, as JSON lines or CSV; or a folder in the form of
another evaluator (`harness/exports`).

The model before fine-tuning has rows like any other, and so has what a variant answered before it was stopped early;
`role` and `stopped_early` say which they are.

Rows are read and written one at a time: a million items take the memory of their names.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.exports import lm_eval_form, nel_form
from harness.exports.new_folder import Writer
from harness.exports.variant_answers import records_in_order, variants_of
from harness.output import is_gone
from harness.records.items import Failed, ItemRecord, PlannedItem
from harness.records.run_manifest import RunManifest, VariantRun
from harness.records.store import Store
from harness.shown import json_text, name_in_line, not_a_formula

Cell = str | int | float | bool | None | list[float | None] | list[str] | dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ShowFormat:
    """A format of `--format`: printed row by row, or written into a folder."""

    name: str
    show: Callable[[Store, RunManifest, str | None], None] | None = None
    write: Writer | None = None


def export(run: str, results: Path, *, task: str | None, form: str, out: Path | None = None) -> None:
    """Print the items, or write them into the folder `out`. Raises `UsageError` for an unknown task or format."""
    chosen = FORMATS.get(form)
    if chosen is None:
        raise UsageError(f"--format {form}: expected {', '.join(FORMATS)}")
    store = Store(results)
    manifest = store.find_run(run)  # once: a run that ends meanwhile would be another `latest`
    if task is not None and task not in manifest.tasks:
        raise UsageError(f"--task {task}: run {manifest.run} has {', '.join(manifest.tasks)}")
    if chosen.show is not None:
        if out is not None:
            raise UsageError(f"--out {out}: --format {form} is printed; redirect it into a file instead")
        chosen.show(store, manifest, task)
    elif chosen.write is not None:
        if out is None:
            raise UsageError(f"--format {form}: writes a folder; name a new or empty one with --out FOLDER")
        store.check_bound(manifest)
        for note in chosen.write(store, manifest, out, task=task):
            sys.stdout.write(f"{name_in_line(note)}\n")


def _print_lines(store: Store, manifest: RunManifest, task: str | None) -> None:
    for row in item_rows(store, manifest, task):
        sys.stdout.write(json_text(json.dumps(row, ensure_ascii=False)) + "\n")
        if is_gone():  # `quantgate show | head`
            break


def _print_csv(store: Store, manifest: RunManifest, task: str | None) -> None:
    columns = dict.fromkeys(name for row in item_rows(store, manifest, task) for name in row)
    writer = csv.DictWriter(sys.stdout, fieldnames=list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    for row in item_rows(store, manifest, task):
        writer.writerow({name: _cell(value) for name, value in row.items()})
        if is_gone():
            break


FORMATS: Mapping[str, ShowFormat] = {
    row.name: row
    for row in (
        ShowFormat(name="jsonl", show=_print_lines),
        ShowFormat(name="csv", show=_print_csv),
        ShowFormat(name="lm-eval", write=lm_eval_form.write),
        ShowFormat(name="nel", write=nel_form.write),
    )
}


def item_rows(store: Store, manifest: RunManifest, task: str | None) -> Iterator[dict[str, Cell]]:
    """One row per task, item and variant, in plan order."""
    store.check_bound(manifest)
    for name, facts in manifest.tasks.items():
        if task not in (None, name):
            continue
        variants = [each for each in variants_of(manifest) if name in each.answered]
        places = {item.item: place for place, item in enumerate(store.planned_items(facts.plan))}
        records = [records_in_order(store, variant, name, places) for variant in variants]
        marks = [_marks(manifest, variant, name) for variant in variants]
        del places
        for planned, *answers in zip(store.planned_items(facts.plan), *records, strict=True):
            for mark, record in zip(marks, answers, strict=True):
                if record is not None:
                    yield _row(name, mark, planned, record)


def _marks(manifest: RunManifest, variant: VariantRun, task: str) -> dict[str, Cell]:
    """Whose answers these are, and whether they are all of them."""
    role = "baseline" if variant.variant == manifest.baseline else "candidate"
    marks: dict[str, Cell] = {"variant": variant.variant, "role": "base" if variant is manifest.base else role}
    if task not in variant.evaluations and variant.stopped is not None:
        marks["stopped_early"] = f"after {variant.stopped.items} of {variant.stopped.planned} items"
    return marks


def _row(task: str, marks: Mapping[str, Cell], planned: PlannedItem, record: ItemRecord) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "task": task,
        "item": record.item,
        "variant": marks["variant"],
        "prompt_hash": record.prompt_hash,
        "slices": planned.slices,
        "cluster": planned.cluster,
        "prompt": planned.prompt,
        "expected": planned.expected,
        **marks,
    }
    if record.options:
        row["options"] = list(planned.options)
        row["log_likelihoods"] = [option.log_likelihood for option in record.options]
    if record.answer is not None:
        row["text"] = record.answer.text
        row["tokens"] = record.answer.tokens
        row["finish"] = record.answer.finish
    if record.repeats:
        row["repeats"] = [each.text for each in record.repeats]
    if record.reasons:
        row["reasons"] = dict(record.reasons)
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
    """CSV has no lists: they become JSON."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return not_a_formula(value) if isinstance(value, str) else value
