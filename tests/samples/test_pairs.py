"""Strict pairing over columns: what does not fit is named, what fits stands in plan order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pytest

from harness.records.chunks import Chunks
from harness.records.columns import PlanColumns
from harness.records.items import ItemRecord, PlannedItem, Scored
from harness.records.parse import read_items, read_plan
from harness.samples.pairs import PairingError, Pairs, Side, align, pair_items, paired_metric

NAMES = ("full", "small")


def planned(items: Sequence[PlannedItem]) -> PlanColumns:
    return read_plan(BytesIO(b"".join(item.model_dump_json().encode() + b"\n" for item in items)))


def item(number: int, **changes: object) -> PlannedItem:
    return PlannedItem(item=f"i{number}", index=number, prompt_hash=f"h{number}", prompt="p").model_copy(update=changes)


def record(number: int, value: float | None = 1.0, **changes: object) -> ItemRecord:
    metrics = {} if value is None else {"acc": Scored(value=value)}
    return ItemRecord(item=f"i{number}", prompt_hash=f"h{number}", metrics=metrics).model_copy(update=changes)


class Folder:
    """Writes evaluations and pairs them."""

    def __init__(self, path: Path, plan: Sequence[PlannedItem]) -> None:
        self.path, self.plan, self.written = path, planned(plan), 0

    def side(self, records: Sequence[ItemRecord]) -> Side:
        self.written += 1
        chunks = Chunks(self.path / f"{self.written}.jsonl")
        for start in range(0, len(records), 3):
            chunks.append(records[start : start + 3])
        return align(self.plan, read_items(chunks, ("acc",)))

    def pairs(self, left: Sequence[ItemRecord], right: Sequence[ItemRecord], *, without: frozenset[str]) -> Pairs:
        return pair_items("t", self.plan, self.side(left), self.side(right), names=NAMES, without=without)


GOOD = [record(number) for number in range(4)]


@pytest.mark.parametrize(
    ("left", "right", "says"),
    [
        (GOOD, [*GOOD, GOOD[2]], "small has item 'i2' twice"),
        ([*GOOD[:3], GOOD[1]], GOOD[:3], "full has item 'i1' twice"),
        (GOOD, GOOD[:3], "small has 3 items, the plan has 4"),
        ([record(9), *GOOD[1:]], GOOD, "full has no answer for planned item 'i0'"),
        (GOOD, [*GOOD[:3], record(3, prompt_hash="x")], "small was given another prompt for item 'i3'"),
        ([*GOOD[:3], record(9)], [GOOD[0], record(8), *GOOD[2:]], "small has no answer for planned item 'i1'"),
        ([record(0, prompt_hash="x"), *GOOD[1:]], GOOD[:3], "small has 3 items"),
        ([record(7), *GOOD[1:]], [record(0, prompt_hash="x"), *GOOD[1:]], "full has no answer for planned item 'i0'"),
    ],
)
def test_the_first_misfit_is_named(tmp_path: Path, left: list[ItemRecord], right: list[ItemRecord], says: str) -> None:
    """Whole evaluations before single items, earlier items before later ones, the baseline before the candidate."""
    folder = Folder(tmp_path, [item(number) for number in range(4)])
    with pytest.raises(PairingError, match=f"^t: {says}"):
        folder.pairs(left, right, without=frozenset())


def test_pairs_stand_in_plan_order(tmp_path: Path) -> None:
    """Neither side's stored order matters; too long and excluded items are in no pair."""
    plan = [item(number, too_long="long" if number == 3 else None) for number in range(8)]
    records = [record(number, value=float(number)) for number in range(8)]
    shuffled = random.Random(2).sample(records, len(records))
    pairs = Folder(tmp_path, plan).pairs(shuffled, records, without=frozenset({"i6"}))
    metric = paired_metric("t", "acc", pairs, higher_is_better=True)
    assert metric.baseline.tolist() == metric.candidate.tolist() == [0, 1, 2, 4, 5, 7]
    assert [pairs.name(number) for number in range(metric.count)] == ["i0", "i1", "i2", "i4", "i5", "i7"]


def test_a_record_without_the_metric_is_named(tmp_path: Path) -> None:
    """A metric that a record does not know is an error, not a failed answer."""
    plan = [item(number) for number in range(4)]
    pairs = Folder(tmp_path, plan).pairs(GOOD, [*GOOD[:2], record(2, value=None), GOOD[3]], without=frozenset())
    with pytest.raises(PairingError, match="item 'i2' has no metric 'acc'"):
        paired_metric("t", "acc", pairs, higher_is_better=True)


def test_slices_and_clusters_go_by_first_appearance(tmp_path: Path) -> None:
    """Against the plain definition, item by item, on plans with gaps, several fields and items in no cluster."""
    draw = random.Random(3)
    for _ in range(30):
        plan = [
            item(
                number,
                slices={field: draw.choice("abc") for field in ("x", "y") if draw.random() < 0.8},
                cluster=draw.choice(["k", "l", "m", None]),
                too_long=draw.choice([None, None, None, "long"]),
            )
            for number in range(draw.randrange(1, 12))
        ]
        records = [record(number) for number in range(len(plan))]
        pairs = Folder(tmp_path, plan).pairs(records, records, without=frozenset())
        kept = [each for each in plan if each.too_long is None]
        slices: dict[str, list[int]] = {}
        numbers: dict[str, int] = {}
        for place, each in enumerate(kept):
            numbers.setdefault(each.cluster or f"\0{place}", len(numbers))
            for field, value in each.slices.items():
                slices.setdefault(f"{field}={value}", []).append(place)
        assert [(name, inside.tolist()) for name, inside in pairs.slices.items()] == list(slices.items())
        labels = [numbers[each.cluster or f"\0{place}"] for place, each in enumerate(kept)]
        found = None if pairs.clusters is None else pairs.clusters.tolist()
        assert found == (labels if any(each.cluster for each in kept) else None)
        for path in tmp_path.iterdir():
            path.unlink()


def test_a_slice_for_every_item_is_no_square(tmp_path: Path) -> None:
    """A field with as many values as items keeps one entry an item, not a mask an item."""
    count = 5000
    plan = [item(number, slices={"id": str(number)}) for number in range(count)]
    records = [record(number) for number in range(count)]
    chunks = Chunks(tmp_path / "chunks.jsonl")
    chunks.append(records)
    columns = planned(plan)
    side = align(columns, read_items(chunks, ("acc",)))
    pairs = pair_items("t", columns, side, side, names=NAMES)
    assert len(pairs.slices) == count
    assert sum(inside.size for inside in pairs.slices.values()) == count
