"""Early FAIL on the real model: two bits are too few for SmolLM2, and it takes few items to see that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from harness.records.store import Store

pytestmark = [pytest.mark.model, pytest.mark.slow]
FACTS = Path(__file__).parents[2] / "suites" / "data" / "facts.jsonl"


def test_two_bits_fail_on_a_quarter_of_the_items(model: Path, tmp_path: Path) -> None:
    """The demo's questions, HQQ at 2 bits: FAIL on under 25 % of the items; the records of the rest were never asked,
    and the verdict can be had again from what is stored."""
    pytest.importorskip("hqq")
    suite = {
        "suite": "early",
        "model": str(model),
        "variants": {
            "fp32": {"baseline": True, "dtype": "float32"},
            "hqq2": {"dtype": "float32", "quantize": {"method": "hqq", "bits": 2}},
        },
        "tasks": {
            "facts": {
                "choice": {
                    "data": str(FACTS),
                    "prompt": "Question: {{question}}\nAnswer:",
                    "choices": "{{choices}}",
                    "answer": "{{answer}}",
                },
                "id": "id",
            }
        },
        "gates": [{"task": "facts", "metric": "acc", "max_drop": 0.04}],
    }
    path = tmp_path / "suite.yaml"
    path.write_text(json.dumps(suite))
    run = harness.run(path, results=tmp_path / "results", offline=True, stop_early=True)
    stop = run.manifest.variants["hqq2"].stopped
    assert stop is not None
    assert stop.items < 0.25 * stop.planned
    assert stop.saved_s is not None
    assert stop.saved_s > 0
    assert run.verdict.exit_code == 10
    asked = Store(tmp_path / "results").chunks(stop.evaluation).load()
    assert sum(map(len, asked)) == stop.items
    again = harness.gate(run, results=tmp_path / "results")
    assert again.candidates == run.verdict.candidates
