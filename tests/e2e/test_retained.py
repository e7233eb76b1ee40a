"""What a real fine-tuned model keeps of its gain: a dozen steps of training, then the same model in bf16 and in nf4."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import harness
from harness.records.measures import Retained
from harness.records.store import Store
from tests.e2e.conftest import write_jsonl

pytestmark = [pytest.mark.model, pytest.mark.slow]
FACTS = Path(__file__).parents[2] / "suites" / "data" / "facts.jsonl"
ITEMS, STEPS, TRAINED_LAYERS = 36, 12, 10
Floats = NDArray[np.float64]


def prompt(row: dict[str, Any]) -> str:
    return f"Question: {row['question']}\nAnswer:"


def fine_tune(model: Path, texts: Sequence[str], folder: Path) -> Path:
    """A dozen steps on the last layers, by rote: what is asked later is what was learned, so there is a gain."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    network.requires_grad_(False)
    for layer in network.model.layers[-TRAINED_LAYERS:]:
        layer.requires_grad_(True)
    optimiser = torch.optim.AdamW([each for each in network.parameters() if each.requires_grad], lr=3e-4)
    for step in range(STEPS):
        part = [texts[(step * ITEMS // 3 + n) % len(texts)] for n in range(ITEMS // 3)]
        batch = tokenizer(part, return_tensors="pt", padding=True)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        network(**batch, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def drawn_again(gain: Floats, kept: Floats) -> tuple[float, float]:
    """The 5 % and 95 % quantiles of the share over 4000 drawings of the items with replacement, those with a gain."""
    chosen = np.random.default_rng(0).integers(gain.size, size=(4000, gain.size))
    gained, still = gain[chosen].sum(axis=1), kept[chosen].sum(axis=1)
    low, high = np.quantile(still[gained != 0] / gained[gained != 0], [0.05, 0.95])
    return float(low), float(high)


def test_a_share_of_a_real_gain(model: Path, tmp_path: Path) -> None:
    """A suite with `base:` on three real models and a quantized one: the share is that of the stored answers, its
    interval agrees with an independent bootstrap of them, and the verdict has the gate, its p and all four models."""
    pytest.importorskip("bitsandbytes")
    rows = [json.loads(line) for line in FACTS.read_text().splitlines()]
    rows = rows[:: len(rows) // ITEMS][:ITEMS]
    texts = [f"{prompt(row)} {row['answer']}" for row in rows]
    tuned = fine_tune(model, texts, tmp_path / "tuned")
    write_jsonl(tmp_path / "texts.jsonl", [{"text": text} for text in texts])
    write_jsonl(tmp_path / "facts.jsonl", rows)
    asked = {"data": "facts.jsonl", "prompt": "Question: {{question}}\nAnswer:", "choices": "{{choices}}"}
    suite = {
        "suite": "kept",
        "model": str(tuned),
        "base": str(model),
        "variants": {
            "fp32": {"baseline": True, "dtype": "float32"},
            "bf16": {"dtype": "bfloat16"},
            "nf4": {"dtype": "float32", "quantize": {"method": "bitsandbytes", "bits": 4, "type": "nf4"}},
        },
        "tasks": {
            "facts": {"choice": {**asked, "answer": "{{answer}}"}, "id": "id"},
            "texts": {"perplexity": {"data": "texts.jsonl", "divergence": False}},
        },
        "gates": [
            {"task": "facts", "metric": "acc", "min_retained": "70%"},
            {"task": "texts", "metric": "perplexity", "min_retained": "60%"},
        ],
        "noise_floor": False,
    }
    path = tmp_path / "suite.yaml"
    path.write_text(json.dumps(suite))
    run = harness.run(path, results=tmp_path / "results", offline=True)
    assert run.verdict.exit_code in (0, 10, 11)
    assert run.verdict.base is not None
    assert run.verdict.base.note is None
    assert [each.variant for each in run.verdict.candidates] == ["bf16", "nf4"]
    store, base = Store(tmp_path / "results"), run.manifest.base
    assert base is not None
    sides = {"base": base, **run.manifest.variants}

    def scores(side: str, task: str) -> Floats:
        items = sorted(store.items(sides[side].evaluations[task]), key=lambda item: item.item)
        if task == "texts":
            return np.array([-(item.document.nll or 0.0) for item in items if item.document is not None])
        return np.array([float(item.metrics["acc"].kind == "scored" and item.metrics["acc"].value) for item in items])

    for candidate in run.verdict.candidates:
        assert candidate.decision in ("PASS", "INCONCLUSIVE", "FAIL")
        assert [finding.form for finding in candidate.findings] == ["min_retained"] * 2
        measured: dict[tuple[str, str], Retained] = {(row.task, row.metric): row for row in candidate.retained}
        for finding in candidate.findings:
            gain = scores("fp32", finding.task or "") - scores("base", finding.task or "")
            kept = scores(candidate.variant, finding.task or "") - scores("base", finding.task or "")
            row = measured[finding.task or "", finding.metric]
            assert gain.size == row.n == finding.n == ITEMS
            assert row.gain_lower is not None
            assert row.gain_lower > 0, "a dozen steps by rote teach these items"
            assert row.retained == finding.value == pytest.approx(kept.sum() / gain.sum())
            assert row.retained is not None
            assert row.lower is not None
            assert row.upper is not None
            assert row.lower < row.retained < row.upper
            assert finding.p is not None
            assert finding.together == 2
            assert (finding.p < finding.alpha) is (row.upper < finding.limit)
            low, high = drawn_again(gain, kept)
            # The bootstrap knows nothing of a flip it has not seen, and trusts 36 items as if they were many.
            assert row.lower - 0.02 < low < row.retained + 1e-9
            assert row.retained - 1e-9 < high < row.upper + 0.02
            # Where every answer of the fine-tuned model is kept, drawing again gives a point.
            if finding.task == "texts" or low < high:
                room = 0.02 if finding.task == "texts" else 0.35
                assert row.upper - row.lower < 1.3 * (high - low) + room
