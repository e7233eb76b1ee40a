"""JSONL of a team's own script: one item a line, a file a task.

Columns: `item` (its id), the metrics (every other column of numbers or booleans), and where there are any `repeat`,
`prompt`, `target`, `answer`, `tokens`, `finish`, `options` with `log_likelihoods`, `cluster`, `slices` (field to
value), `error` (why a metric is null), `lower_is_better` (names of metrics, in the first line). Texts in further
columns can be sliced by; lists and objects are left out, and it is said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from harness.imports.lines import Line, hashed, lines, together
from harness.imports.shape import (
    ImportedAnswer,
    ImportedItem,
    ImportedMetric,
    ImportedOption,
    ImportedSide,
    ImportedTask,
    NoValue,
    Selection,
    UnreadableError,
)
from harness.metrics.table import lookup

RESERVED = frozenset({
    "item", "repeat", "prompt", "target", "answer", "tokens", "finish", "options", "log_likelihoods", "cluster",
    "slices", "error", "lower_is_better",
})  # fmt: skip
"""Columns that are no metrics."""
LOOKED_AT = 1000
"""Lines from whose values it follows which columns are metrics."""
FINISHES: dict[object, Literal["stop", "length"]] = {"stop": "stop", "length": "length"}


def read(path: Path) -> ImportedSide:
    """The file at a path, or every `.jsonl` file of a folder. Raises `UnreadableError`."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise UnreadableError(path, "has no .jsonl file")
    tasks, notes = {}, []
    for file in files:
        task, said = _task(path, file)
        tasks[task.name] = task
        notes += said
    return ImportedSide(
        model=path.stem if path.is_file() else path.resolve().name,
        library="a script",
        files=tuple(hashed(file) for file in files),
        tasks=tasks,
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Columns:
    """What the first lines of a file show."""

    metrics: tuple[str, ...]
    texts: tuple[str, ...]
    left_out: tuple[str, ...]
    lower: tuple[str, ...]
    first: Line


def _task(path: Path, file: Path) -> tuple[ImportedTask, list[str]]:
    columns = _columns(file)
    source = str(Path(path.name) / file.name) if path.is_dir() else file.name
    reader = _Reader(file, columns)
    notes = []
    if columns.left_out:
        notes.append(f"{file.name}: lists and objects are left out: {', '.join(columns.left_out)}")
    if "prompt" not in columns.first.fields:
        notes.append(f"{file.name}: has no prompts, so that both sides were asked the same is taken on trust")
    task = ImportedTask(
        name=file.stem,
        kind="choice" if "options" in columns.first.fields else "generate",
        metrics=tuple(ImportedMetric(name=name, higher_is_better=_higher(name, columns)) for name in columns.metrics),
        source=source,
        fields=columns.texts,
        items=reader.items,
    )
    return task, notes


def _higher(metric: str, columns: _Columns) -> bool:
    row = lookup(metric)
    return metric not in columns.lower and (row is None or row.higher_is_better)


def _columns(file: Path) -> _Columns:
    """Raises `UnreadableError` for a file without lines or metrics."""
    kinds: dict[str, set[type]] = {}
    first: Line | None = None
    for line in islice(lines(file), LOOKED_AT):
        first = first or line
        for name, value in line.fields.items():
            if name not in RESERVED and value is not None:
                kinds.setdefault(name, set()).add(type(value))
    if first is None:
        raise UnreadableError(file, "is empty")
    metrics = tuple(name for name, found in kinds.items() if found & {int, float, bool})
    if not metrics:
        says = 'expected a column of numbers beside item, such as {"item": "q1", "acc": 1}'
        raise UnreadableError(first.place, f"{says}; got {', '.join(first.fields)}")
    lower = first.fields.get("lower_is_better", [])
    if not isinstance(lower, list) or not set(map(str, lower)) <= set(metrics):
        raise UnreadableError(
            first.place, f"lower_is_better: expected a list of {', '.join(metrics)}, got {lower!r:.80}"
        )
    return _Columns(
        metrics=metrics,
        texts=tuple(name for name, found in kinds.items() if found == {str}),
        left_out=tuple(name for name, found in kinds.items() if not found & {int, float, bool, str}),
        lower=tuple(map(str, lower)),
        first=first,
    )


class _Reader:
    """Reads one file."""

    def __init__(self, file: Path, columns: _Columns) -> None:
        self._file, self._columns = file, columns

    def items(self, selection: Selection) -> Iterator[ImportedItem]:
        """Every line, the repeats of an item together. Raises `UnreadableError`."""
        if "repeat" not in self._columns.first.fields:
            yield from (self._item(line, selection) for line in lines(self._file))
            return
        for group in together(self._file, _id):
            yield from (self._item(line, selection) for line in group)

    def _item(self, line: Line, selection: Selection) -> ImportedItem:
        fields = line.fields
        slices = _slices(line) | {name: _text(line, name) for name in selection.slice_by}
        clusters = selection.cluster_by or ("cluster" if fields.get("cluster") is not None else None)
        return ImportedItem(
            place=line.place,
            id=_id(line),
            repeat=_count(line, "repeat") or 0,
            prompt=_words(line, "prompt"),
            target=_words(line, "target"),
            options=_options(line),
            answer=_answer(line),
            values={name: _value(line, name) for name in self._columns.metrics},
            cluster=None if clusters is None else _text(line, clusters),
            slices=slices,
        )


def _id(line: Line) -> str:
    found = line.fields.get("item")
    if not isinstance(found, str | int) or isinstance(found, bool):
        raise UnreadableError(line.place, f"item: expected the item's id, a string or an integer, got {found!r:.60}")
    return str(found)


def _value(line: Line, metric: str) -> float | NoValue:
    found = line.fields.get(metric)
    if found is None:
        error = line.fields.get("error")
        return NoValue(reason=error if isinstance(error, str) and error else f"the file has no {metric} for it")
    if not isinstance(found, int | float):
        raise UnreadableError(line.place, f"{metric}: expected a number, true, false or null, got {found!r:.60}")
    return float(found) if math.isfinite(found) else NoValue(reason=f"the file has {found} for {metric}")


def _answer(line: Line) -> ImportedAnswer | None:
    text, finish, tokens = line.fields.get("answer"), line.fields.get("finish"), _count(line, "tokens")
    if text is None and tokens is None and finish is None:
        return None
    if not isinstance(text, str):
        raise UnreadableError(line.place, f"answer: expected a string, beside tokens and finish too, got {text!r:.60}")
    if finish is not None and finish not in FINISHES:
        raise UnreadableError(line.place, f"finish: expected stop or length, got {finish!r:.60}")
    return ImportedAnswer(text=text, tokens=tokens, finish=FINISHES.get(finish))


def _options(line: Line) -> tuple[ImportedOption, ...]:
    texts, values = line.fields.get("options"), line.fields.get("log_likelihoods")
    if texts is None and values is None:
        return ()
    if not isinstance(texts, list) or not isinstance(values, list) or len(texts) != len(values) or not texts:
        raise UnreadableError(line.place, "expected options and log_likelihoods, two lists of the same length")
    return tuple(_option(line, text, value) for text, value in zip(texts, values, strict=True))


def _option(line: Line, text: object, value: object) -> ImportedOption:
    if not isinstance(text, str):
        raise UnreadableError(line.place, f"options: expected strings, got {text!r:.60}")
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise UnreadableError(line.place, f"log_likelihoods: expected numbers, got {value!r:.60}")
    known = value is not None and math.isfinite(value)
    return ImportedOption(text=text, log_likelihood=float(value) if known and value is not None else None)


def _count(line: Line, name: str) -> int | None:
    found = line.fields.get(name)
    if found is None:
        return None
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise UnreadableError(line.place, f"{name}: expected an integer of at least 0, got {found!r:.60}")
    return found


def _words(line: Line, name: str) -> str:
    """A text, or a list of messages or references as JSON."""
    found = line.fields.get(name, "")
    return found if isinstance(found, str) else json.dumps(found, sort_keys=True)


def _slices(line: Line) -> dict[str, str]:
    found = line.fields.get("slices") or {}
    if not isinstance(found, dict) or not all(isinstance(each, str | int | float) for each in found.values()):
        raise UnreadableError(line.place, f'slices: expected an object such as {{"language": "de"}}, got {found!r:.60}')
    return {name: str(value) for name, value in found.items()}


def _text(line: Line, name: str) -> str:
    found = line.fields.get(name)
    if not isinstance(found, str | int | float):
        have: Sequence[str] = tuple(line.fields)
        raise UnreadableError(
            line.place, f"{name}: expected a string or a number, got {found!r:.40}; it has {', '.join(have)}"
        )
    return str(found)
