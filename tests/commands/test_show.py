"""`quantgate show`: every row, in plan order, whatever the order of work, without holding the records."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from harness.commands.show import export, item_rows
from harness.errors import RecordError, UsageError
from harness.records.items import ItemRecord, OptionAnswer, PlannedItem, TextAnswer, outcome
from harness.records.run_manifest import EarlyStop, RunManifest, VariantRun
from tests.gates.handmade import HOST, NOW, Bench

TEXTS = ["plain", "Ünïcödé 漢字 🦊", 'quotes " \\ and ]}, {[', "line\nbreak", "=1+1", ""]


def bench(root: Path, count: int, *, text: str | None = None) -> Bench:
    """`count` items; each variant's are stored in chunks of seven in an order of its own."""
    made = Bench(root)
    plan = [
        PlannedItem(
            item=f"i{n}", index=n, prompt_hash=f"h{n}", prompt=text or TEXTS[n % len(TEXTS)], options=("a", "b")
        )
        for n in range(count)
    ]
    made.plan("t", plan)
    for seed, name in enumerate(("fp32", "q")):
        order = list(range(count))
        random.Random(seed).shuffle(order)
        chunks = made.store.chunks(made.key(name, "t"))
        records = [answer(n, n / count if seed else 1.0, text) for n in order]
        for start in range(0, len(records) - 7, 7):
            chunks.append(records[start : start + 7])
        made.evaluation(name, "t", records[(len(records) - 1) // 7 * 7 :])
        complete(made, name, chunks.path, count)
        made.variant(name, ["t"])
    return made


def answer(n: int, value: float, text: str | None) -> ItemRecord:
    return ItemRecord(
        item=f"i{n}",
        prompt_hash=f"h{n}",
        options=(OptionAnswer(log_likelihood=-n / 3, tokens=1, greedy=False),),
        answer=TextAnswer(text=text or TEXTS[n % len(TEXTS)], tokens=2, finish="stop"),
        metrics={"acc": outcome(value if n % 5 else float("nan"))},
    )


def complete(made: Bench, name: str, path: Path, count: int) -> None:
    """The manifest over all chunks in the file."""
    store = made.store
    manifest = store.evaluation(made.key(name, "t"))
    chunks = store.chunks(made.key(name, "t"))
    sizes = [len(chunk) for chunk in chunks.load()]
    assert manifest is not None
    assert sum(sizes) == count
    (path.parent / "manifest.json").unlink()
    store.complete(manifest.model_copy(update={"items": count, "chunks": len(sizes), "digest": chunks.digest()}))


def saved(made: Bench) -> str:
    run = RunManifest(
        run="r1", suite="s", suite_file="s.yaml", suite_hash="", suite_text="", baseline="fp32",
        variants=made.variants, tasks=made.tasks, host=HOST, quantgate="0", started_at=NOW, elapsed_s=1.0,
    )  # fmt: skip
    made.store.save_run(run)
    return run.run


def printed(made: Bench, form: str) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        export(saved(made), made.store.root, task=None, form=form)
    return out.getvalue()


def test_rows_come_in_plan_order_from_any_stored_order(tmp_path: Path) -> None:
    """Every item of every variant once, in plan order, with what was stored of it; no text breaks the search."""
    made = bench(tmp_path, 60)
    rows = [json.loads(line) for line in printed(made, "jsonl").splitlines()]
    assert [(row["item"], row["variant"]) for row in rows] == [
        (f"i{n}", name) for n in range(60) for name in ("fp32", "q")
    ]
    for name in ("fp32", "q"):
        stored = {record.item: record for record in made.store.items(made.key(name, "t"))}
        for row in rows:
            if row["variant"] == name:
                record = stored[row["item"]]
                assert record.answer is not None
                assert (row["text"], row["log_likelihoods"]) == (record.answer.text, [record.options[0].log_likelihood])
                assert row["acc"] == getattr(record.metrics["acc"], "value", None)


def test_csv_has_the_columns_of_all_rows(tmp_path: Path) -> None:
    """A column that only a late row has (an error) stands in the header; a formula is disarmed."""
    made = bench(tmp_path, 21)
    header, *_ = text = printed(made, "csv").splitlines()
    assert header.split(",")[-2:] == ["acc", "error"]
    assert any("'=1+1" in line for line in text)


def test_nothing_is_printed_of_a_damaged_store(tmp_path: Path) -> None:
    """A flipped byte is found before the first row is written."""
    made = bench(tmp_path, 30)
    run = saved(made)
    path = made.store.chunks(made.key("q", "t")).path
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(RecordError, match="checksum"):
        export(run, made.store.root, task=None, form="jsonl")
    assert out.getvalue() == ""


def test_what_was_stopped_early_and_the_base_are_shown_and_marked(tmp_path: Path) -> None:
    """The answers a stopped variant gave until then, none that a later run added, and every answer of the model before
    fine-tuning; each row says which it is."""
    made = bench(tmp_path, 30)
    chunks = made.store.chunks(made.key("q", "t"), first=2)
    list(chunks.payloads())
    stop = EarlyStop(
        task="t", metric="acc", gate="gates[0]", limit=0.02, alpha=0.05, evaluation=made.key("q", "t"), chunks=2,
        digest=chunks.digest(), items=14, planned=30, drop=0.5, wealth=21.0,
    )  # fmt: skip
    made.variants["q"] = made.variants["q"].model_copy(update={"evaluations": {}, "stopped": stop})
    base = VariantRun(variant="base model", evaluations={"t": made.key("fp32", "t")})
    saved(made)
    made.store.save_run(made.store.find_run("r1").model_copy(update={"base": base}))
    rows = list(item_rows(made.store, made.store.find_run("r1"), None))
    counts = Counter((row["variant"], row["role"], row.get("stopped_early")) for row in rows)
    assert counts == {
        ("fp32", "baseline", None): 30,
        ("q", "candidate", "after 14 of 30 items"): 14,
        ("base model", "base", None): 30,
    }
    first = {record.item for chunk in made.store.chunks(made.key("q", "t"), first=2).load() for record in chunk}
    assert {row["item"] for row in rows if row["variant"] == "q"} == first
    other = made.variants["q"].model_copy(update={"stopped": stop.model_copy(update={"digest": "0" * 64})})
    made.store.save_run(made.store.find_run("r1").model_copy(update={"variants": {**made.variants, "q": other}}))
    with pytest.raises(RecordError, match="other answers than those at which the run was stopped early"):
        next(item_rows(made.store, made.store.find_run("r1"), None))


def test_an_unknown_task_lists_those_there_are(tmp_path: Path) -> None:
    """A wrong name is a usage error with the right ones."""
    made = bench(tmp_path, 14)
    with pytest.raises(UsageError, match="--task u: run r1 has t"):
        export(saved(made), made.store.root, task="u", form="jsonl")


def test_memory_does_not_grow_with_the_answers(tmp_path: Path) -> None:
    """Two megabytes of answers pass through in far less."""
    made = bench(tmp_path, 500, text="x" * 4000)
    saved(made)
    manifest = made.store.find_run("r1")
    tracemalloc.start()
    count = sum(1 for _ in item_rows(made.store, manifest, None))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, peak < 800_000) == (1000, True), peak
