"""Calibration data: drawn with a seed, and refused with the needed amount when there is too little."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.quantization.calibration import draw
from harness.suite.load import LoadedSuite, parse_suite
from harness.suite.quantize_block import Calibration

KEY = "variants.g.quantize.calibration"


def suite(folder: Path, rows: list[dict[str, object]]) -> LoadedSuite:
    (folder / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = {
        "suite": "s",
        "model": "./m",
        "variants": {"a": {"baseline": True}},
        "tasks": {"t": {"perplexity": {"data": "c.jsonl"}}},
    }
    return parse_suite(json.dumps(whole), folder / "s.yaml")


def test_samples_are_equal_for_equal_seeds(tmp_path: Path) -> None:
    """Every sample has its length; the seed decides which, and the hash tells them apart."""
    loaded = suite(tmp_path, [{"text": f"line {n} of the text"} for n in range(50)])
    tokenizer = ScriptedTokenizer()
    first, again, other = (
        draw(loaded, Calibration(data="c.jsonl", samples=4, length=16, seed=seed), tokenizer, KEY) for seed in (1, 1, 2)
    )
    assert [len(each) for each in first.samples] == [16] * 4
    assert first.hash == again.hash != other.hash


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"text": "short"}], r"expected 4 samples of 16 tokens, that is 64 tokens; c\.jsonl has 6, enough for 0"),
        ([], "expected at least one item"),
        ([{"body": "x"}], r"c\.jsonl:1: .*field: expected a string in field 'text'; the row has body"),
        ([{"text": 3}], "expected a string in field 'text'"),
    ],
)
def test_bad_data_is_named(tmp_path: Path, rows: list[dict[str, object]], says: str) -> None:
    """Too little, none, a missing field, a number."""
    loaded = suite(tmp_path, rows)
    with pytest.raises(SuiteError, match=says):
        draw(loaded, Calibration(data="c.jsonl", samples=4, length=16), ScriptedTokenizer(), KEY)


def test_a_missing_file(tmp_path: Path) -> None:
    """The name as it stands in the suite."""
    loaded = suite(tmp_path, [{"text": "x"}])
    with pytest.raises(SuiteError, match=r"nowhere\.jsonl.*no such file"):
        draw(loaded, Calibration(data="nowhere.jsonl"), ScriptedTokenizer(), KEY)
