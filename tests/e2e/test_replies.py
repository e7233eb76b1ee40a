"""Answers of the real model without references: every measure against a plain loop over what `show` prints."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.model, pytest.mark.thorough]
ROOT = Path(__file__).parents[2]
ITEMS = 24


def quantgate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def edits(one: str, two: str) -> int:
    """Levenshtein's distance, as the textbook has it."""
    before = list(range(len(two) + 1))
    for row, a in enumerate(one, start=1):
        now = [row]
        for column, b in enumerate(two, start=1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (a != b)))
        before = now
    return before[-1]


def test_measures_are_those_of_a_plain_loop(model: Path, tmp_path: Path) -> None:
    """suites/replies.yaml with fewer items: nf4 departs from full precision and fails; bf16 does not fail."""
    results = str(tmp_path / "results")
    ran = quantgate(
        "run", "suites/replies.yaml", "--offline", "--limit", str(ITEMS), "--results", results,
        "--reports", str(tmp_path / "reports"),
    )  # fmt: skip
    assert ran.returncode == 10, ran.stderr[-3000:]
    lines = map(json.loads, quantgate("show", "replies", "--results", results).stdout.splitlines())
    said = {(line["variant"], line["item"]): line for line in lines}
    items = [item for variant, item in said if variant == "fp32"]
    assert len(items) == ITEMS
    (stored,) = (tmp_path / "results").rglob("verdict.json")
    verdict = json.loads(stored.read_text())
    for candidate in verdict["candidates"]:
        name = candidate["variant"]
        found = {each["metric"]: (each["baseline"], each["candidate"]) for each in candidate["measures"]}
        sides = [(said["fp32", item], said[name, item]) for item in items]
        texts = [(one["text"], two["text"]) for one, two in sides]
        longest = [max(len(one), len(two)) for one, two in texts]
        prefix = [len(list(takewhile(lambda pair: pair[0] == pair[1], zip(*both, strict=False)))) for both in texts]
        expected = {
            "identical": sum(one == two for one, two in texts),
            "edit_similarity": sum(1 - edits(*both) / size for both, size in zip(texts, longest, strict=True)),
            "first_divergence": sum(shared / size for shared, size in zip(prefix, longest, strict=True)),
            "truncated_rate": sum(two["finish"] == "length" for _, two in sides),
        }
        for metric, total in expected.items():
            assert found[metric][1] == pytest.approx(total / ITEMS), (name, metric)
        assert found["truncated_rate"][0] == pytest.approx(sum(one["finish"] == "length" for one, _ in sides) / ITEMS)
    decisions = {each["variant"]: each["decision"] for each in verdict["candidates"]}
    assert decisions["nf4"] == "FAIL"
    assert decisions["bf16"] in ("PASS", "INCONCLUSIVE")
