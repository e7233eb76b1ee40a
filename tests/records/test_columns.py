"""Records as columns: the same numbers as the records, the same refusals, without holding prompts and answers."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from harness.errors import RecordError
from harness.records.chunks import Chunks
from harness.records.columns import NO_TEXT
from harness.records.items import DocumentScore, Failed, ItemRecord, OptionAnswer, PlannedItem, Scored, TextAnswer
from harness.records.parse import BATCH_BYTES, read_items
from harness.records.store import Store

NAME = "f1,strict.match"
"""As lm-eval names a metric with its filter."""


def some_records(count: int) -> list[ItemRecord]:
    """Records of every kind, some failed, some without a finite likelihood, one without the metric `NAME`."""
    draw = random.Random(1)
    records = []
    for number in range(count):
        failed = Failed(stage="score", error="no")
        metrics = {"acc": failed if draw.random() < 0.2 else Scored(value=draw.random())}
        if number != 5:
            metrics[NAME] = Scored(value=float(number))
        likelihoods = [None if draw.random() < 0.2 else -draw.random() for _ in range(draw.randrange(4))]
        records.append(
            ItemRecord(
                item=f"i{number}",
                prompt_hash=f"h{number}",
                options=tuple(OptionAnswer(log_likelihood=each, tokens=1, greedy=True) for each in likelihoods),
                answer=TextAnswer(text="é\n", tokens=2, finish="stop") if draw.random() < 0.5 else None,
                document=DocumentScore(nll=None, tokens=3) if draw.random() < 0.5 else None,
                metrics=metrics,
            )
        )
    return records


def written(path: Path, records: list[ItemRecord], size: int = 7) -> Chunks:
    chunks = Chunks(path)
    for start in range(0, len(records), size):
        chunks.append(records[start : start + size])
    return chunks


def test_columns_hold_what_the_records_hold(tmp_path: Path) -> None:
    """Names, values, failures, likelihoods and documents are those of the records, item by item."""
    records = some_records(40)
    chunks = written(tmp_path / "chunks.jsonl", records)
    columns = read_items(Chunks(chunks.path), ("acc", NAME))
    answers = columns.answers
    assert list(columns.items) == [record.item for record in records]
    assert list(columns.prompt_hashes) == [record.prompt_hash for record in records]
    assert answers.documents.tolist() == [record.document for record in records]
    for number, record in enumerate(records):
        outcome = record.metrics["acc"]
        expected = np.nan if isinstance(outcome, Failed) else outcome.value
        np.testing.assert_equal(answers.metrics["acc"][number], expected)
        first = answers.first_option[number]
        found = answers.likelihoods[first : first + answers.options[number]]
        likelihoods = [option.log_likelihood for option in record.options]
        np.testing.assert_equal(found, np.asarray(likelihoods, dtype=np.float64))
    assert (answers.texts == NO_TEXT).tolist() == [record.answer is None for record in records]
    assert answers.metrics[NAME][-1] == len(records) - 1
    assert np.flatnonzero(answers.unmeasured[NAME]).tolist() == [5]
    assert not answers.unmeasured["acc"].any()


def test_generated_texts_are_numbers_that_are_equal_where_the_texts_are(tmp_path: Path) -> None:
    """Equal texts have one number, over evaluations too; blank answers and those cut off are marked."""
    texts = ["yes", "no", " \n", "", "yes", "é" * 50_000]
    records = [
        ItemRecord(
            item=f"i{number}",
            prompt_hash="h",
            answer=TextAnswer(text=text, tokens=1, finish="length" if number == 1 else "stop"),
            metrics={"acc": Scored(value=1.0)},
        )
        for number, text in enumerate(texts)
    ]
    answers = read_items(written(tmp_path / "a.jsonl", records, size=2), ("acc",)).answers
    again = read_items(written(tmp_path / "b.jsonl", records[4:]), ("acc",)).answers
    assert answers.texts[0] == answers.texts[4] == again.texts[0]
    assert len(set(answers.texts.tolist())) == 5
    assert answers.blank.tolist() == [False, False, True, True, False, False]
    assert answers.cut.tolist() == [False, True, False, False, False, False]


def test_taken_keeps_an_items_parts_together(tmp_path: Path) -> None:
    """Items in another order bring their values, options and place in the file with them."""
    records = some_records(40)
    answers = read_items(written(tmp_path / "evaluations" / "k" / "chunks.jsonl", records), ("acc",)).answers
    order = np.asarray([31, 2, 17])
    taken = answers.taken(order)
    again = Store(tmp_path).records("k", taken, range(3))
    assert again == [records[number] for number in order]
    for place, record in enumerate(again):
        first = taken.first_option[place]
        found = taken.likelihoods[first : first + taken.options[place]]
        np.testing.assert_equal(found, np.asarray([each.log_likelihood for each in record.options], dtype=np.float64))


def test_damage_is_named_in_columns_too(tmp_path: Path) -> None:
    """A changed byte is an error, when everything is read and when one chunk is, and never another number."""
    chunks = written(tmp_path / "chunks.jsonl", some_records(20))
    whole = chunks.path.read_bytes()
    chunks.path.write_bytes(whole.replace(b'"item":"i9"', b'"item":"x9"'))
    with pytest.raises(RecordError, match=r"chunks\.jsonl:2: .*checksum.*--fresh"):
        read_items(Chunks(chunks.path), ("acc",))
    chunks.path.write_bytes(b"0" + whole)
    with pytest.raises(RecordError, match=r"byte 0: .*checksum"):
        chunks.record(0, 0)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"more": 1}, "Extra inputs"),
        ({"prompt_hash": 3}, "valid string"),
        ({"options": [{"tokens": 1, "greedy": True}]}, "Field required"),
        ({"metrics": {"acc": {"kind": "scored"}}}, "Field required"),
        ({"metrics": {"acc": {"kind": "scored", "value": "high"}}}, "valid number"),
        ({"metrics": {"acc": {"kind": "guessed", "value": 1}}}, "guessed|does not match"),
    ],
)
def test_records_of_another_shape_are_refused(tmp_path: Path, changed: dict[str, object], says: str) -> None:
    """A chunk that matches its checksum but was written by something else is an error with its file and line."""
    record = {"item": "a", "prompt_hash": "h", "metrics": {"acc": {"kind": "scored", "value": 1.0}}, **changed}
    payload = json.dumps([record]).encode()
    path = tmp_path / "chunks.jsonl"
    path.write_bytes(hashlib.sha256(payload).hexdigest().encode() + b" " + payload + b"\n")
    with pytest.raises(RecordError, match=rf"chunks\.jsonl:1: .*({says}).*--fresh"):
        read_items(Chunks(path), ("acc",))


def test_an_unfinished_evaluation_is_not_touched(tmp_path: Path) -> None:
    """Reading what a run is still writing says so and leaves its half-written line alone."""
    store = Store(tmp_path)
    chunks = store.chunks("k")
    chunks.append(some_records(1))
    with chunks.path.open("ab") as stream:
        stream.write(b"half a line")
    before = chunks.path.read_bytes()
    with pytest.raises(RecordError, match="unfinished"):
        store.columns("k", ("acc",))
    assert chunks.path.read_bytes() == before


def test_plan_columns_hold_what_the_plan_holds(tmp_path: Path) -> None:
    """What is computed with stands in the columns; the rest is read again from the item's line."""
    common = {"prompt": "é", "options": ("no", "yes", "no"), "expected": "no", "bytes": 4}
    items = [
        PlannedItem(item="a", index=0, prompt_hash="1", slices={"x": "1"}, cluster="c", **common),
        PlannedItem(item="b", index=1, prompt_hash="2", slices={"x": "1"}, too_long="very", prompt="?"),
        PlannedItem(item="c", index=2, prompt_hash="3", slices={"x": "2"}, cluster="c", **common),
    ]
    store = Store(tmp_path)
    store.save_plan("p", items)
    plan = store.plan_columns("p")
    assert (list(plan.items), list(plan.prompt_hashes)) == (["a", "b", "c"], ["1", "2", "3"])
    assert plan.fits.tolist() == [True, False, True]
    assert [(name, each.names, each.codes.tolist()) for name, each in plan.slices.items()] == [
        ("x", ["1", "2"], [0, 0, 1])
    ]
    assert plan.clusters.tolist() == [0, -1, 0]
    assert plan.options.tolist() == [3, 0, 3]
    assert plan.is_right.tolist() == [True, False, True] * 2
    assert plan.first_option.tolist() == [0, 3, 3]
    assert plan.bytes.tolist() == [4, 0, 4]
    assert store.planned("p", plan.lines[[2, 0]].tolist()) == [items[2], items[0]]
    with pytest.raises(RecordError, match="no such plan"):
        store.plan_columns("q")
    (tmp_path / "plans" / "p.jsonl").write_bytes(b"{}\n")
    with pytest.raises(RecordError, match="damaged"):
        store.plan_columns("p")


def test_words_are_kept_beside_the_plan(tmp_path: Path) -> None:
    """Under a key of their own: the plan stays as it was, and two ways of counting do not overwrite each other."""
    store = Store(tmp_path)
    store.save_plan("p", [PlannedItem(item=f"i{n}", index=n, prompt_hash="h", prompt="") for n in range(2)])
    before = (tmp_path / "plans" / "p.jsonl").read_bytes()
    keys = [store.save_words(words) for words in ((3, 5), (3, 6), (3, 5))]
    assert (keys[0] == keys[2], keys[0] == keys[1]) == (True, False)
    assert (tmp_path / "plans" / "p.jsonl").read_bytes() == before
    assert store.plan_columns("p").words is None
    found = store.plan_columns("p", keys[1]).words
    assert found is not None
    assert found.tolist() == [3, 6]


def test_words_that_do_not_fit_are_refused_and_damaged_ones_written_again(tmp_path: Path) -> None:
    """Of another plan, missing or changed by hand: never a wrong perplexity."""
    store = Store(tmp_path)
    store.save_plan("p", [PlannedItem(item="a", index=0, prompt_hash="h", prompt="")])
    with pytest.raises(RecordError, match="counts the words of 2 documents, the plan has 1"):
        store.plan_columns("p", store.save_words((3, 5)))
    with pytest.raises(RecordError, match="no such file, and a run refers to it; run the suite again"):
        store.plan_columns("p", "elsewhere")
    key = store.save_words((7,))
    path = tmp_path / "plans" / f"{key}.words.json"
    path.write_text(path.read_text().replace("7", "8", 1))
    with pytest.raises(RecordError, match="does not match its checksum"):
        store.plan_columns("p", key)
    assert store.save_words((7,)) == key
    found = store.plan_columns("p", key).words
    assert found is not None
    assert found.tolist() == [7]


def test_reading_columns_loads_no_pandas(tmp_path: Path) -> None:
    """What installs pandas beside us does not make a small comparison wait for it."""
    path = written(tmp_path / "chunks.jsonl", some_records(40)).path
    Store(tmp_path).save_plan("p", [PlannedItem(item="a", index=0, prompt_hash="1", prompt="", slices={"x": "1"})])
    code = (
        "import sys; from pathlib import Path; from harness.records.store import Store\n"
        "from harness.records.chunks import Chunks\n"
        "from harness.records.parse import read_items\n"
        "plan = Store(Path(sys.argv[2])).plan_columns('p')\n"
        "items = read_items(Chunks(Path(sys.argv[1])), ('acc',)).items\n"
        "items.places_of(plan.items), items.equal(plan.lines * 0, plan.items), items.distinct(), items[0]\n"
        "print(*sys.modules)"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "pyarrow" in done.stdout.split()
    assert "pandas" not in done.stdout.split()


def test_prompts_and_answers_stay_on_disk(tmp_path: Path) -> None:
    """Reading 4,000 items with texts of 10 kB, 80 MB in all, takes the memory of a few batches."""
    long, store = "x" * 10_000, Store(tmp_path)
    store.save_plan("p", (PlannedItem(item=f"i{n}", index=n, prompt_hash="h", prompt=long) for n in range(4000)))
    said = TextAnswer(text=long, tokens=1, finish="stop")
    records = [
        ItemRecord(item=f"i{n}", prompt_hash="h", answer=said, metrics={"acc": Scored(value=1.0)}) for n in range(4000)
    ]
    chunks = written(tmp_path / "chunks.jsonl", records, size=64)
    read_items(chunks, ("acc",))  # what is loaded on first use is not counted
    tracemalloc.start()
    try:
        store.plan_columns("p")
        columns = read_items(chunks, ("acc",))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(columns.items) == 4000
    assert peak < 5 * BATCH_BYTES


def test_several_answers_to_an_item_are_one_number_and_cut_where_half_of_them_are(tmp_path: Path) -> None:
    """Equal only where all of an item's answers are; a record without further answers is written as before."""

    def record(number: int, *texts: str) -> ItemRecord:
        first, *others = (
            TextAnswer(text=each, tokens=1, finish="length" if each.endswith("cut") else "stop") for each in texts
        )
        return ItemRecord(
            item=f"i{number}", prompt_hash="h", answer=first, repeats=tuple(others), metrics={"acc": Scored(value=1.0)}
        )

    asked = [("a", "b"), ("a", "b"), ("b", "a"), ("a",), ("a", "c cut"), ("a", "b", "c cut"), ("", " ", "a")]
    records = [record(number, *texts) for number, texts in enumerate(asked)]
    chunks = written(tmp_path / "chunks.jsonl", records, size=3)
    answers = read_items(Chunks(chunks.path), ("acc",)).answers
    texts = answers.texts.tolist()
    assert texts[0] == texts[1]
    assert len(set(texts)) == 6
    assert answers.cut.tolist() == [False] * 4 + [True, False, False]
    assert answers.blank.tolist() == [False] * 6 + [True]
    assert Chunks(chunks.path).load() == [tuple(records[:3]), tuple(records[3:6]), tuple(records[6:])]
    assert answers.repeats is not None
    assert answers.repeats.counts.tolist() == [len(texts) for texts in asked]
    assert answers.repeats.alike.tolist() == [False] * len(asked)
    assert np.isnan(answers.repeats.spread).all()
    assert "repeats" not in records[3].model_dump_json()
    assert [each.text for each in records[6].answers] == ["", " ", "a"]


def test_the_spread_of_several_answers_is_the_variance_of_their_scores(tmp_path: Path) -> None:
    """Of 1, 0, 1 and of equal ones; none for a single answer, and none where a score is missing."""

    def answers(*scores: float | None) -> tuple[TextAnswer, ...]:
        return tuple(TextAnswer(text="same", tokens=1, finish="stop", score=each) for each in scores)

    asked = [answers(1.0, 0.0, 1.0), answers(0.25, 0.25), answers(1.0), answers(1.0, None), answers(0.0, 0.5)]
    records = [
        ItemRecord(item=f"i{number}", prompt_hash="h", answer=first, repeats=tuple(others), metrics={})
        for number, (first, *others) in enumerate(asked)
    ]
    chunks = written(tmp_path / "chunks.jsonl", records, size=2)
    found = read_items(Chunks(chunks.path), ()).answers.repeats
    assert found is not None
    np.testing.assert_allclose(found.spread, [1 / 3, 0.0, np.nan, np.nan, 0.125], atol=1e-12)
    assert found.alike.tolist() == [True, True, False, True, True]
