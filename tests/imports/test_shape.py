"""What a reader gives: frozen, and read again with every call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import FrozenInstanceError

import pytest

from harness.imports.shape import READERS, ImportedItem, ImportedMetric, ImportedTask, NoValue, Selection


def items(selection: Selection) -> Iterator[ImportedItem]:
    for number in range(3):
        value = NoValue(reason="out of memory") if number == 2 else 1.0
        slices = dict.fromkeys(selection.slice_by, "x")
        yield ImportedItem(place=f"a.jsonl:{number + 1}", id=str(number), values={"acc": value}, slices=slices)


def test_a_task_streams_its_items_again_with_every_call() -> None:
    """The core reads a baseline twice: once for its plan, once for its answers."""
    task = ImportedTask(name="t", kind="choice", metrics=(ImportedMetric(name="acc"),), source="a.jsonl", items=items)
    assert [each.id for each in task.items(Selection())] == [each.id for each in task.items(Selection())]
    assert [each.slices for each in task.items(Selection(slice_by=("k",)))] == [{"k": "x"}] * 3


def test_an_item_cannot_be_changed() -> None:
    """What a reader gave stays as it was read."""
    item = next(items(Selection()))
    with pytest.raises(FrozenInstanceError):
        item.id = "other"  # type: ignore[misc]


def test_every_row_is_named_as_on_the_command_line() -> None:
    """The table's keys are the rows' names, and every format has files of its own."""
    assert list(READERS) == ["lm-eval", "inspect", "nemo", "jsonl"]
    assert all(row.name == name and row.marks and row.description for name, row in READERS.items())
