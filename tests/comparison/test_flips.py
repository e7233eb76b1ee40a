"""Flips: all counted, the worst kept with their texts, which are read again from the records."""

from __future__ import annotations

import random
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np

from harness.comparison.flips import MOST, find_flips, margins
from harness.records.chunks import Chunks
from harness.records.columns import Indices
from harness.records.items import Failed, ItemRecord, OptionAnswer, Outcome, PlannedItem, Scored, TextAnswer
from harness.records.parse import read_items, read_plan
from harness.records.store import Store
from harness.samples.pairs import align, pair_items

FAILED = Failed(stage="score", error="no")


def item(number: int, options: tuple[str, ...], expected: str) -> PlannedItem:
    return PlannedItem(
        item=f"i{number:04}", index=number, prompt_hash="h", prompt=f"p{number}", options=options, expected=expected
    )


def record(number: int, likelihoods: list[float | None], acc: Outcome) -> ItemRecord:
    options = tuple(OptionAnswer(log_likelihood=value, tokens=1, greedy=False) for value in likelihoods)
    return ItemRecord(item=f"i{number:04}", prompt_hash="h", options=options, metrics={"acc": acc})


def written(store: Store, key: str, records: list[ItemRecord]) -> Chunks:
    chunks = store.chunks(key)
    for start in range(0, len(records), 64):
        chunks.append(records[start : start + 64])
    return chunks


def plain_margin(planned: PlannedItem, record: ItemRecord) -> float | None:
    """The definition, for one item."""
    if planned.expected not in planned.options or len(record.options) != len(planned.options):
        return None
    both = list(zip(planned.options, (option.log_likelihood for option in record.options), strict=True))
    right = next(value for text, value in both if text == planned.expected)
    wrong = [value for text, value in both if text != planned.expected and value is not None]
    return None if right is None or not wrong else right - max(wrong)


def test_margins_are_those_of_the_definition(tmp_path: Path) -> None:
    """Over items with no right option, with it twice, with options missing or without a finite likelihood."""
    draw = random.Random(4)
    plan, records = [], []
    for number in range(400):
        options = tuple(draw.choices("abcd", k=draw.randrange(5)))
        plan.append(item(number, options, draw.choice("abcd")))
        count = len(options) if draw.random() < 0.9 else draw.randrange(5)
        values = [None if draw.random() < 0.2 else -draw.random() for _ in range(count)]
        records.append(record(number, values, Scored(value=1.0)))
    columns = read_plan(BytesIO(b"".join(each.model_dump_json().encode() + b"\n" for each in plan)))
    side = align(columns, read_items(written(Store(tmp_path), "k", records), ("acc",)))
    places = np.asarray(draw.sample(range(400), 300))
    found = margins(columns, places, side.answers.taken(side.order[places]))
    expected = [plain_margin(plan[place], records[place]) for place in places]
    np.testing.assert_array_equal(found, np.asarray(expected, dtype=np.float64))
    assert 20 < sum(value is None for value in expected) < 280


def test_the_worst_flips_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    """More flips than are kept: right-to-wrong first, then by how far the margin moved, then by name; a candidate's
    failure is a flip, a baseline's is none."""
    store, count = Store(tmp_path), 3 * MOST
    plan = [item(number, ("a", "b"), "ab"[number % 2]) for number in range(count)]
    store.save_plan("p", plan)
    left = [record(n, [-1.0, -2.0], Scored(value=float(n % 2 == 0))) for n in range(count)]
    right = [record(n, [-2.0 - n // 4, -1.0], Scored(value=float(n % 2))) for n in range(count)]
    left[0] = record(0, [None, None], FAILED)
    right[2] = record(2, [None, None], FAILED)
    columns = store.plan_columns("p")
    sides = [
        align(columns, read_items(written(store, key, records), ("acc",)))
        for key, records in (("left", left), ("right", right))
    ]
    pairs = pair_items("t", columns, *sides, names=("left", "right"))
    read_in_full: list[int] = []

    def read(wanted: Indices) -> Iterable[tuple[PlannedItem, ItemRecord, ItemRecord]]:
        read_in_full.extend(wanted.tolist())
        return zip(
            store.planned("p", columns.lines[wanted].tolist()),
            store.records("left", pairs.baseline, wanted.tolist()),
            store.records("right", pairs.candidate, wanted.tolist()),
            strict=True,
        )

    flips, total = find_flips("t", "acc", pairs, read)
    assert total == count - 1
    assert len(flips) == len(read_in_full) == MOST
    evens = sorted(
        (number for number in range(2, count, 2)),
        key=lambda n: (-(2.0 + n // 4 if n != 2 else 1.0), n),
    )
    assert [flip.item for flip in flips] == [f"i{number:04}" for number in evens[:MOST]]
    first = flips[0]
    assert (first.direction, first.prompt, first.expected) == ("right_to_wrong", f"p{evens[0]}", "a")
    assert (first.baseline_answer, first.candidate_answer) == ("a", "b")
    assert (first.baseline_margin, first.candidate_margin) == (1.0, -1.0 - evens[0] // 4)


def test_a_failed_answer_has_no_margin(tmp_path: Path) -> None:
    """What has no likelihood is shown as such: no number stands in for it."""
    store = Store(tmp_path)
    store.save_plan("p", [item(0, ("a", "b"), "a")])
    columns = store.plan_columns("p")
    left = [record(0, [-1.0, -2.0], Scored(value=1.0))]
    right = [record(0, [None, None], FAILED)]
    sides = [
        align(columns, read_items(written(store, key, records), ("acc",)))
        for key, records in (("left", left), ("right", right))
    ]
    pairs = pair_items("t", columns, *sides, names=("left", "right"))
    (flip,), total = find_flips("t", "acc", pairs, lambda _: [(store.plan("p")[0], left[0], right[0])])
    assert (total, flip.baseline_margin, flip.candidate_margin) == (1, 1.0, None)
    assert flip.candidate_answer == "(no finite likelihood for any option)"


def test_a_flip_says_why_the_answer_is_wrong(tmp_path: Path) -> None:
    """Where a metric stores its reason (JSON that a schema does not allow), it is shown behind the wrong answer."""
    plan = [item(number, (), "") for number in range(3)]
    valid = ItemRecord(
        item="",
        prompt_hash="h",
        answer=TextAnswer(text="{}", tokens=1, finish="stop"),
        metrics={"js": Scored(value=1.0)},
    )
    broken = valid.model_copy(update={"metrics": {"js": Scored(value=0.0)}, "reasons": {"js": "$: 'name' is missing"}})
    sides = [[valid] * 3, [valid, broken, valid]]
    store, columns = (
        Store(tmp_path),
        read_plan(BytesIO(b"".join(each.model_dump_json().encode() + b"\n" for each in plan))),
    )
    stored = [
        [record.model_copy(update={"item": planned.item}) for planned, record in zip(plan, side, strict=True)]
        for side in sides
    ]
    left, right = (
        align(columns, read_items(written(store, str(place), records), ("js",))) for place, records in enumerate(stored)
    )
    pairs = pair_items("t", columns, left, right, names=("a", "b"))

    def read(wanted: Indices) -> Iterable[tuple[PlannedItem, ItemRecord, ItemRecord]]:
        return [(plan[place], stored[0][place], stored[1][place]) for place in wanted.tolist()]

    (flip,), total = find_flips("t", "js", pairs, read)
    assert total == 1
    assert (flip.baseline_answer, flip.candidate_answer) == ("{}", "{} [$: 'name' is missing]")
