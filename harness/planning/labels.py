"""Clusters and slices of items, from the fields the suite names.

Owns what a missing value is: null, an empty cell, a field that this row lacks. Such an item is a cluster of its own and
belongs to no slice; it is never the string `None`. 1 and "1" are one label, 1 and 1.0 in one column are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.datafiles.rows import problem
from harness.datafiles.values import NotTextError, Number, is_missing, text_of
from harness.suite.task_model import Task

Fields = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of every row, by its position in the data."""

    clusters: Sequence[str | None]
    slices: Mapping[str, Sequence[str | None]]
    notes: tuple[str, ...]

    def slices_of(self, position: int) -> dict[str, str]:
        """The item's value in each slice field that it has one in."""
        found = {name: values[position] for name, values in self.slices.items()}
        return {name: value for name, value in found.items() if value is not None}


def labels_of(name: str, task: Task, rows: Sequence[Fields], places: Sequence[str]) -> Labels:
    """Clusters and slices of a task's rows. Raises `SuiteError` for a field that no row has, and for values that are
    not text."""
    notes: list[str] = []
    clusters: Sequence[str | None] = [None] * len(rows)
    if task.cluster_by is not None:
        clusters = _column(rows, places, task.cluster_by, f"tasks.{name}.cluster_by")
        if missing := clusters.count(None):
            count = f"{missing:,} of {len(rows):,} items"
            notes.append(f"{name}: {count} have no {task.cluster_by}; each of them is a cluster of its own")
    slices = {}
    for field in task.slice_by:
        slices[field] = _column(rows, places, field, f"tasks.{name}.slice_by")
        if missing := slices[field].count(None):
            notes.append(f"{name}: {missing:,} of {len(rows):,} items have no {field} and belong to no slice")
    return Labels(clusters=clusters, slices=slices, notes=tuple(notes))


def _column(rows: Sequence[Fields], places: Sequence[str], field: str, key: str) -> list[str | None]:
    if not any(field in row for row in rows):
        have = ", ".join(map(repr, rows[0]))
        raise problem(places[0], key, f"expected a field {field!r}; the item has {have}")
    found: list[str | None] = []
    written: dict[float | str, tuple[str, str]] = {}
    for row, place in zip(rows, places, strict=True):
        value = row.get(field)
        if is_missing(value):
            found.append(None)
            continue
        try:
            label = text_of(value)
        except NotTextError as error:
            raise problem(place, key, f"expected a string in {field!r}, got {error}") from error
        if isinstance(value, int | Number) and not isinstance(value, bool):
            before, where = written.setdefault(float(value) if abs(value) < 2**53 else label, (label, place))
            if before != label:
                raise problem(
                    place, key, f"{field!r} is {label} here and {before} in {where}: write one number one way"
                )
        found.append(label)
    if all(each is None for each in found):
        raise problem(places[0], key, f"expected a value in {field!r}, all {len(rows):,} items have none")
    return found
