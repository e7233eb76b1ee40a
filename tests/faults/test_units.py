"""The same metric name means the same: bits per byte of an lm-eval task count the bytes that the task counts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.planning.lm_eval.rolling_documents import PROBE, counted
from harness.records.store import Store
from tests.faults.test_prompts import byte_tokenizer

PAGES = ["The cat sat ; the dog ran .", "One , two , three .", "A ' quoted ' word .", "日本 is a place ."]
ROLL = """
task: roll
dataset_path: json
dataset_kwargs: {{cache_dir: {folder}/cache, data_files: {{test: {folder}/pages.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: !function pages.joined
process_results: !function pages.counted
metric_list: [{{metric: word_perplexity}}, {{metric: byte_perplexity}}, {{metric: bits_per_byte}}]
"""
CODE = """
def joined(doc):
    return doc["page"].replace(" ;", ";").replace(" ,", ",").replace(" .", ".")

def counted(doc, results):
    (found,) = results
    size, words = len(doc["page"].encode()), len(doc["page"].split())
    return {"word_perplexity": (found, words), "byte_perplexity": (found, size), "bits_per_byte": (found, size)}
"""


def tiny_model(folder: Path) -> None:
    import torch
    import transformers

    byte_tokenizer(folder, ["$A"])
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=260, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=64, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def lm_evals_values(folder: Path, model: Path) -> dict[str, float]:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    lm = HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=1)
    found: Any = lm_eval.simple_evaluate(model=lm, tasks=["roll"], task_manager=manager, bootstrap_iters=0)
    reported = found["results"]["roll"]
    return {name: float(reported[f"{name},none"]) for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")}


@pytest.mark.fault("T15", "a rolling task that detokenises its text and counts the bytes of the original page")
def test_levels_of_documents_are_lm_evals(tmp_path: Path) -> None:
    """The likelihood of the windows over the bytes and words that the task's own `process_results` counts, as lm-eval
    reports."""
    tasks, model = tmp_path / "tasks", tmp_path / "model"
    tasks.mkdir()
    tiny_model(model)
    (tasks / "pages.jsonl").write_text("".join(json.dumps({"page": page}) + "\n" for page in PAGES))
    (tasks / "pages.py").write_text(CODE)
    (tasks / "roll.yaml").write_text(ROLL.format(folder=tasks))
    suite = {
        "suite": "units",
        "model": str(model),
        "allow_task_code": True,
        "variants": {"fp32": {"baseline": True, "dtype": "float32"}},
        "tasks": {"t": {"lm_eval": "tasks/roll.yaml"}},
    }
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    run = harness.run(tmp_path / "suite.yaml", results=tmp_path / "results", offline=True)
    store = Store(tmp_path / "results")
    nll = [item.document.nll for item in store.items(run.manifest.variants["fp32"].evaluations["t"]) if item.document]
    size = sum(item.bytes for item in store.plan(run.manifest.tasks["t"].plan))
    assert size == sum(len(page.encode()) for page in PAGES)
    theirs = lm_evals_values(tasks, model)
    assert math.fsum(each or math.nan for each in nll) / size / math.log(2) == pytest.approx(
        theirs["bits_per_byte"], abs=1e-4
    )
    verdict = run.verdict
    for name, value in theirs.items():
        assert verdict.baseline_measures[f"t/{name}"] == pytest.approx(value, rel=1e-4), name


@pytest.mark.fault("T29", "documents of one token, an emoji, two characters of three bytes")
@pytest.mark.parametrize("text", ["A", "🙂", "日本"])
def test_bytes_without_a_tasks_own_count_are_the_texts(text: str) -> None:
    """UTF-8 of the text, whatever else the task reports; a pair that is not the likelihood's is no count."""
    own = len(text.encode())
    assert counted({}, "byte", own) == own
    assert counted({"bits_per_byte": 0.5, "word_perplexity": (PROBE, 3)}, "byte", own) == own
    assert counted({"bits_per_byte": (PROBE * 2, 9)}, "byte", own) == own
    assert counted({"byte_perplexity": (PROBE, 9)}, "byte", own) == 9
    assert counted({"word_perplexity": (PROBE, 3)}, "word", own) == 3
