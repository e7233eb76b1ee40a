"""How requests are batched is no part of a result: the same scores in large and in small passes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.engines.protocol import ContinuationScore, LoadSpec, ScoreRequest, Window
from harness.worker.client import Worker

pytestmark = pytest.mark.model
ITEMS = 12
MOST_FLIPS = 2
"""Of the picks in bfloat16, whose rounding depends on the shape of a product. How many were seen is printed."""
WINDOWS = (512, 300, 512, 61, 200, 512, 130, 40)


def scores(
    model: Path, requests: list[ScoreRequest], log: Path, **settings: Any
) -> list[tuple[ContinuationScore, ...]]:
    with Worker("v", log=log) as worker:
        worker.load(LoadSpec(variant="v", engine="transformers", path=str(model), **settings))
        return worker.score(requests)


def totals(found: list[tuple[ContinuationScore, ...]]) -> list[list[float]]:
    return [[sum(score.log_probs) for score in each] for each in found]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_small_and_large_passes_agree(
    dtype: str, model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Passes of 64 and of 2048 tokens: within 1e-3 nats in float32; in bfloat16 the picks that flip are counted."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    requests = []
    for line in (data / "hellaswag" / "hellaswag.jsonl").read_text().splitlines()[:ITEMS]:
        row = json.loads(line)
        options = tuple(tuple(tokenizer.encode(f" {ending}")) for ending in row["endings"])
        requests.append(ScoreRequest(context=tuple(tokenizer.encode(row["ctx"])), continuations=options))
    large = totals(scores(model, requests, tmp_path / "large.log", dtype=dtype))
    small = totals(scores(model, requests, tmp_path / "small.log", dtype=dtype, memory_budget=1))
    flips = sum(one.index(max(one)) != other.index(max(other)) for one, other in zip(large, small, strict=True))
    gap = max(abs(a - b) for one, other in zip(large, small, strict=True) for a, b in zip(one, other, strict=True))
    with capsys.disabled():
        sys.stdout.write(f"\n{dtype}: {flips} of {ITEMS} picks flip between two batchings, {gap:.2g} nats at most\n")
    if dtype == "float32":
        assert [value for each in small for value in each] == pytest.approx(
            [value for each in large for value in each], abs=1e-3
        )
    assert flips <= (0 if dtype == "float32" else MOST_FLIPS)


def test_perplexity_in_small_and_large_passes(model: Path, documents: list[str], tmp_path: Path) -> None:
    """Windows of unlike length, four to a pass and one by one: every token within 1e-3 nats in float32."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    ids = tokenizer.encode("\n".join(documents))
    assert len(ids) > sum(WINDOWS)
    windows, start = [], 0
    for size in WINDOWS:
        windows.append(Window(tokens=tuple(ids[start : start + size]), scored_from=size // 4))
        start += size
    found = []
    for name, budget in (("large", None), ("small", 1)):
        with Worker("v", log=tmp_path / f"{name}.log") as worker:
            facts = worker.load(
                LoadSpec(variant="v", engine="transformers", path=str(model), dtype="float32", memory_budget=budget)
            )
            assert facts.pass_tokens == (64 if budget else 2048)
            found.append([value for score in worker.score_windows(windows) for value in score.log_probs])
    assert found[0] == pytest.approx(found[1], abs=1e-3)
