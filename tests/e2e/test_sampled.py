"""Several sampled answers to each item by the real model: the same ones in a resumed run and in other batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.records.items import ItemRecord
from harness.records.store import Store
from tests.e2e.conftest import write_jsonl

pytestmark = [pytest.mark.model, pytest.mark.thorough]
REPEATS = 3
NUMBERS = [(a, b) for a in range(6, 12) for b in range(3, 10)]


def suite(model: Path, folder: Path) -> Path:
    """Answers of up to 120 tokens that mostly end with their line, so that few items fill a batch."""
    write_jsonl(folder / "sums.jsonl", [{"q": f"{a} + {b} =", "a": str(a + b)} for a, b in NUMBERS])
    spec: dict[str, Any] = {
        "data": "sums.jsonl",
        "prompt": "1 + 1 = 2\n2 + 3 = 5\n{{q}}",
        "answer": "{{a}}",
        "regex": "\\d+",
        "until": ["\n", "=", "+"],
        "max_new_tokens": 120,
        "metric": ["exact_match", "pass@2", "maj@3"],
        "repeats": REPEATS,
        "sampling": {"temperature": 1.3, "top_p": 0.98, "top_k": 50, "min_p": 0.01},
    }
    written = {
        "suite": "sums",
        "model": str(model),
        "variants": {"fp32": {"baseline": True, "dtype": "float32"}, "bf16": {"dtype": "bfloat16"}},
        "noise_floor": False,
        "tasks": {"sums": {"generate": spec}},
        "gates": [{"task": "sums", "metric": "exact_match", "max_drop": 0.5}],
    }
    path = folder / "suite.yaml"
    path.write_text(json.dumps(written))
    return path


def answered(path: Path, results: Path, **options: Any) -> tuple[dict[str, ItemRecord], str]:
    run = harness.run(path, results=results, offline=True, variants=("fp32",), **options)
    key = run.manifest.variants["fp32"].evaluations["sums"]
    return {each.item: each for each in Store(results).items(key)}, key


def test_a_resumed_run_and_other_batches_give_the_same_answers(model: Path, tmp_path: Path) -> None:
    """Half of the chunks, the rest with memory for one row at a time: every answer and score is the same. Answers to
    one item differ."""
    path = suite(model, tmp_path)
    whole, key = answered(path, tmp_path / "whole")
    texts = [tuple(answer.text for answer in record.answers) for record in whole.values()]
    assert {len(each) for each in texts} == {REPEATS}
    assert sum(len(set(each)) > 1 for each in texts) > len(texts) / 4
    place = Store(tmp_path / "whole").evaluation_folder(key)
    (place / "manifest.json").unlink()
    lines = (place / "chunks.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) > 2
    (place / "chunks.jsonl").write_bytes(b"".join(lines[: len(lines) // 2]))
    again, same = answered(path, tmp_path / "whole", memory_budget=1)
    assert same == key
    assert again == whole


def test_variants_draw_with_the_same_random_numbers(model: Path, tmp_path: Path) -> None:
    """bfloat16 mostly gives float32's own answers, though each of them is drawn; the run is judged as any other."""
    run = harness.run(suite(model, tmp_path), results=tmp_path / "results", offline=True)
    store = Store(tmp_path / "results")
    left, right = (
        {each.item: each for each in store.items(run.manifest.variants[name].evaluations["sums"])}
        for name in ("fp32", "bf16")
    )
    pairs = [(a.text, b.text) for item in left for a, b in zip(left[item].answers, right[item].answers, strict=True)]
    same = sum(one == other for one, other in pairs)
    crossed = [
        a.text == b.text
        for item in left
        for i, a in enumerate(left[item].answers)
        for j, b in enumerate(right[item].answers)
        if i != j
    ]
    assert same / len(pairs) > 0.6
    assert same / len(pairs) > sum(crossed) / len(crossed) + 0.2
    assert run.verdict.candidates[0].decision in ("PASS", "INCONCLUSIVE")
