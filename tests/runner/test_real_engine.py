"""The main job on a tiny real model: every kind of task and data file, through the transformers engine."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.records.items import Scored
from harness.records.store import Store
from tests.engines.tiny import save_tokenizer, tiny_config

ITEMS = 24
TEMPLATE = "{% for m in messages %}w5 {{ m['content'] }} {% endfor %}w6"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model, an adapter on it, and data as JSONL, CSV and Parquet."""
    import peft
    import pyarrow
    import torch
    import transformers
    from pyarrow import parquet

    place = tmp_path_factory.mktemp("suite")
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(tiny_config("llama"))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(str(place / "model"))
    save_tokenizer(place / "model")
    tokenizer = json.loads((place / "model" / "tokenizer_config.json").read_text())
    (place / "model" / "tokenizer_config.json").write_text(json.dumps({**tokenizer, "chat_template": TEMPLATE}))
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(str(place / "adapter"))

    source = random.Random(0)

    def words(count: int) -> str:
        return " ".join(f"w{source.randrange(7, 200)}" for _ in range(count))

    rows: list[dict[str, Any]] = [
        {"id": n, "q": words(6), "a": words(1), "b": words(2), "right": "a", "topic": f"t{n % 2}", "talk": n // 3}
        for n in range(ITEMS)
    ]
    (place / "ask.csv").write_text(
        "id,q,a,b,right,topic,talk\n" + "".join(",".join(str(value) for value in row.values()) + "\n" for row in rows)
    )
    parquet.write_table(pyarrow.Table.from_pylist(rows), place / "ask.parquet")
    chats = [{"messages": [{"role": "user", "content": row["q"]}], "reply": row["a"]} for row in rows]
    (place / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chats))
    texts = [{"text": words(30)} for _ in range(ITEMS)]
    (place / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    (place / "shots.csv").write_text("q,a,b,right\n" + f"{words(3)},{words(1)},{words(1)},b\n" * 2)
    (place / "theirs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (place / "theirs.yaml").write_text(
        "task: theirs\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {place / 'theirs.jsonl'}}}}}\n"
        "test_split: test\noutput_type: multiple_choice\n"
        "doc_to_text: '{{q}}'\ndoc_to_choice: '{{[a, b]}}'\ndoc_to_target: 0\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    return place


def test_the_memory_budget_reaches_the_engine(folder: Path, tmp_path: Path) -> None:
    """A byte of room makes the smallest passes; the record has the limits of both, and the values are the same."""
    suite = {
        "suite": "budget",
        "model": str(folder / "model"),
        "variants": {"full": {"baseline": True, "dtype": "float32"}},
        "tasks": {"t": {"choice": {"data": "ask.csv", **CHOICE}, "id": "id"}},
    }
    path = folder / "budget.yaml"
    path.write_text(json.dumps(suite))
    limits, values = [], []
    for place, budget in (("plenty", None), ("little", 1)):
        store = Store(tmp_path / place)
        run = harness.run(path, results=tmp_path / place, offline=True, memory_budget=budget)
        key = run.manifest.variants["full"].evaluations["t"]
        manifest = store.evaluation(key)
        assert manifest is not None
        facts = manifest.facts
        limits.append((facts.pass_tokens, facts.cache_tokens, facts.memory_budget))
        assert [(part.chunk, part.pass_tokens) for part in manifest.batches] == [(0, facts.pass_tokens)]
        values.append([option.log_likelihood for item in store.items(key) for option in item.options])
    assert limits[1] == (64, 1, 1)
    assert limits[0][0] == 2048
    budget = limits[0][2]
    assert budget is not None
    assert budget > 2**20
    assert values[0] == pytest.approx(values[1], abs=1e-4)


def test_a_resume_with_another_budget_says_which_batches_had_which(folder: Path, tmp_path: Path) -> None:
    """Half of an evaluation with a byte of room, the rest with plenty: the record, the run and its report say so."""
    source = random.Random(1)
    rows = [{"q": " ".join(f"w{source.randrange(7, 200)}" for _ in range(6)), "a": "w5", "b": "w9"} for _ in range(200)]
    (folder / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = {
        "suite": "resumed",
        "model": str(folder / "model"),
        "variants": {"full": {"baseline": True, "dtype": "float32"}},
        "tasks": {"t": {"choice": {"data": "many.jsonl", **CHOICE}}},
    }
    path = folder / "resumed.yaml"
    path.write_text(json.dumps(whole))
    store = Store(tmp_path)
    key = harness.run(path, results=tmp_path, offline=True, memory_budget=1).manifest.variants["full"].evaluations["t"]
    place = store.evaluation_folder(key)
    (place / "manifest.json").unlink()
    lines = (place / "chunks.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) > 2
    (place / "chunks.jsonl").write_bytes(b"".join(lines[:2]))
    run = harness.run(path, results=tmp_path, offline=True, memory_budget=2**28)
    manifest = store.evaluation(key)
    assert manifest is not None
    assert [(part.chunk, part.pass_tokens, part.memory_budget) for part in manifest.batches] == [
        (0, 64, 1),
        (2, 2048, 2**28),
    ]
    facts = run.manifest.variants["full"].facts
    assert facts is not None
    (note,) = [note for note in facts.notes if note.startswith("t was asked in sessions of unlike memory budgets")]
    assert "from batch 3 on at most 2,048 padded tokens a pass" in note


CHOICE = {"prompt": "{{q}}", "choices": ["{{a}}", "{{b}}"], "answer": "{{a}}"}
TASKS: dict[str, Any] = {
    "csv": {
        "choice": {"data": "ask.csv", **CHOICE},
        "id": "id",
        "slice_by": ["topic"],
        "cluster_by": "talk",
    },
    "shots": {
        "choice": {"data": "ask.parquet", **CHOICE, "few_shot": "shots.csv", "num_few_shot": 1},
        "limit": 20,
    },
    "chat": {
        "generate": {
            "data": "chat.jsonl",
            "messages": "{{messages}}",
            "answer": "{{reply}}",
            "metric": ["exact_match", "f1"],
            "max_new_tokens": 4,
        }
    },
    "text": {"perplexity": {"data": "text.jsonl", "window": 16, "stride": 8}},
    "theirs": {"lm_eval": "./theirs.yaml"},
}


def suite(folder: Path, name: str, variants: dict[str, Any], **changes: Any) -> Path:
    path = folder / f"{name}.yaml"
    whole = {"suite": name, "model": "./model", "variants": variants, "tasks": TASKS, **changes}
    path.write_text(json.dumps(whole))
    return path


def test_every_kind_of_task(folder: Path, tmp_path: Path) -> None:
    """CSV, Parquet, chat, few-shot, windows with a stride and an lm-eval YAML give finite, paired numbers."""
    variants = {
        "fp32": {"baseline": True, "dtype": "float32"},
        "int8": {"dtype": "float32", "quantize": {"method": "bitsandbytes", "bits": 8}},
    }
    gates = [
        {"task": "csv", "metric": "acc", "max_drop": 0.5},
        {"task": "csv", "metric": "acc", "max_drop": 0.45, "slice": "each"},
        {"task": "chat", "metric": "f1", "max_drop": 0.9},
        {"task": "text", "metric": "perplexity", "max_increase": "300%"},
        {"task": "text", "metric": "kl_mean", "max": 5.0},
        {"task": "theirs", "metric": "acc", "min_recovery": 0.6},
        {"metric": "weight_bytes", "max_ratio": 0.9},
        {"metric": "decode_tokens_per_s", "min_ratio": 0.001},
    ]
    speed = {"workloads": [{"batch": 2, "prompt_tokens": 8, "new_tokens": 3}], "pairs": 6}
    run = harness.run(
        suite(folder, "kinds", variants, gates=gates, speed=speed),
        results=tmp_path / "results",
        offline=True,
    )
    page = harness.report(run, results=tmp_path / "results", reports=tmp_path / "reports")
    (candidate,) = run.verdict.candidates
    # A random model's answers never end, which is said; nothing else stands against it.
    assert {check.name for check in candidate.checks if check.blocks and not check.held} == {"answers end"}
    assert {finding.decision for finding in candidate.findings if finding.code is None} == {"PASS", "INCONCLUSIVE"}
    lost = {finding.metric for finding in candidate.findings if finding.code is not None}
    assert lost <= {"acc", "f1"}  # nor has it anything to lose where it only guesses, or is never right
    store = Store(tmp_path / "results")
    counts = {"csv": ITEMS, "shots": 20, "chat": ITEMS, "text": ITEMS, "theirs": ITEMS}
    for name, count in counts.items():
        items = list(store.items(run.manifest.variants["int8"].evaluations[name]))
        assert len(items) == count
        assert all(isinstance(outcome, Scored) for item in items for outcome in item.metrics.values())
    facts = run.manifest.variants["int8"].facts
    assert facts is not None
    assert (facts.quantized_modules, facts.scoring_path) == (14, "tree")
    assert {path.suffix for path in page.parent.iterdir()} >= {".html", ".md", ".xml"}


def test_a_claim_of_int8_over_float32_weights_is_invalid(folder: Path, tmp_path: Path) -> None:
    """The variant says it is quantized; the loaded model holds float32, and every score is equal."""
    variants = {
        "fp32": {"baseline": True, "dtype": "float32"},
        "int8": {"dtype": "float32", "quantized": True},
    }
    gates = [{"task": "csv", "metric": "acc", "max_drop": 0.5}]
    run = harness.run(
        suite(folder, "claim", variants, gates=gates), results=tmp_path / "r", tasks=("csv",), offline=True
    )
    (candidate,) = run.verdict.candidates
    assert (candidate.decision, run.exit_code) == ("INVALID", 12)
    assert "quantized" in candidate.sentence


def test_an_adapter_on_a_quantized_base(folder: Path, tmp_path: Path) -> None:
    """The same adapter on the full-precision base and on an nf4 base."""
    variants = {
        "fp32": {"baseline": True, "dtype": "float32", "adapter": "./adapter"},
        "nf4": {
            "dtype": "float32",
            "adapter": "./adapter",
            "quantize": {"method": "bitsandbytes", "bits": 4, "double_quant": True},
        },
    }
    run = harness.run(suite(folder, "adapter", variants), results=tmp_path / "r", tasks=("csv", "text"), offline=True)
    counts = {name: each.facts and each.facts.quantized_modules for name, each in run.manifest.variants.items()}
    assert counts == {"fp32": 0, "nf4": 14}
    (candidate,) = run.verdict.candidates
    assert not [check for check in candidate.checks if check.blocks and not check.held]
    assert (candidate.decision, run.exit_code) == ("INCONCLUSIVE", 11)  # the suite sets no limit


def test_nan_weights_are_invalid(folder: Path, tmp_path: Path) -> None:
    """NaN in the candidate's own weights is INVALID before any score is looked at."""
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder / "model", tmp_path / "broken")
    file = tmp_path / "broken" / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.0.mlp.down_proj.weight"][0, 0] = torch.nan
    save_file(tensors, file, metadata={"format": "pt"})
    variants = {
        "fp32": {"baseline": True, "dtype": "float32"},
        "broken": {"dtype": "float32", "path": str(tmp_path / "broken")},
    }
    run = harness.run(suite(folder, "broken", variants), results=tmp_path / "r", tasks=("csv",), offline=True)
    (candidate,) = run.verdict.candidates
    assert candidate.decision == "INVALID"
    assert "model.layers.0.mlp.down_proj.weight" in candidate.sentence
