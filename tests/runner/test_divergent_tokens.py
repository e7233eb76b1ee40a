"""The most divergent tokens of an evaluation, in words, through a real worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import harness
from harness.records.store import Store
from harness.runner.divergent_tokens import tops_of
from harness.samples.divergent_tokens import MOST, highest
from harness.samples.documents import decode_values

Write = Callable[..., Path]


def test_a_resumed_evaluation_names_the_same_tokens(write_suite: Write, tmp_path: Path) -> None:
    """They are those of a plain sort over all documents, stand so in the text, and a run that went on has the same."""
    path, results = write_suite(items=12), tmp_path / "r"
    store = Store(results)
    first = harness.run(path, results=results)
    key = first.manifest.variants["small"].evaluations["read"]
    manifest = store.evaluation(key)
    assert manifest is not None
    documents = {record.item: record.document for record in store.items(key)}
    plain = sorted(
        (-value, int(item[1:]), place)
        for item, document in documents.items()
        if document is not None
        for place, value in enumerate(decode_values(document.kl_values or "").tolist())
    )[:MOST]
    assert [(int(each.item[1:]), each.place) for each in manifest.divergent] == [each[1:] for each in plain]
    for each in manifest.divergent:
        text = f"Document {each.item[1:]}. " * 20
        assert text[: each.place + 1].endswith(each.before + each.text)
        document = documents[each.item]
        assert document is not None
        assert (each.top is None) == (each.place not in tops_of(document))
    (told,) = first.verdict.candidates[0].divergent
    assert [(each.item, each.place, each.text) for each in told.most] == [
        (each.item, each.place, each.text) for each in manifest.divergent
    ]
    folder = store.evaluation_folder(key)
    (folder / "manifest.json").unlink()
    lines = (folder / "chunks.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "chunks.jsonl").write_bytes(b"".join(lines[:-1]))
    again = harness.run(path, results=results)
    resumed = store.evaluation(key)
    assert resumed is not None
    assert resumed.divergent == manifest.divergent
    assert again.verdict.candidates[0].divergent == first.verdict.candidates[0].divergent


def test_the_baseline_has_none(write_suite: Write, tmp_path: Path) -> None:
    """Nothing is measured of it, and nothing is written."""
    results = tmp_path / "r"
    run = harness.run(write_suite(items=12), results=results).manifest
    key = run.variants["full"].evaluations["read"]
    assert "divergent" not in (Store(results).evaluation_folder(key) / "manifest.json").read_text()
    assert highest(decode_values("")).size == 0
