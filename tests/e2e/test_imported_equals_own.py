"""lm-eval's own files of two models, imported, against quantgate's run of the same tasks on the same models."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.records.items import ItemRecord, Scored
from harness.records.run_manifest import RunManifest
from harness.records.store import Store

pytestmark = [pytest.mark.model, pytest.mark.thorough, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
ITEMS = {"facts": 24, "short": 12}
TASKS: dict[str, dict[str, Any]] = {
    "facts": {
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{choices.index(answer)}}",
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")
        ],
    },
    "short": {
        "output_type": "generate_until",
        "doc_to_text": "Question: What is the capital of the Netherlands?\nAnswer: Amsterdam\n\n"
        "Question: {{question}}\nAnswer:",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8, "do_sample": False},
        "metric_list": [
            {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True}
        ],
        "filter_list": [
            {"name": "strict", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]},
            {"name": "word", "filter": [{"function": "regex", "regex_pattern": "(\\w+)"}, {"function": "take_first"}]},
        ],
    },
}
NF4_NATS = 0.5
"""bitsandbytes multiplies 4-bit weights in bfloat16 on processors, so that a batch's shape shows in the likelihoods."""


def written_tasks(folder: Path) -> None:
    """The tasks as lm-eval YAML, with their data beside them."""
    for name, task in TASKS.items():
        rows = (ROOT / "suites" / "data" / f"{name}.jsonl").read_text().splitlines()[: ITEMS[name]]
        (folder / f"{name}.jsonl").write_text("".join(row + "\n" for row in rows))
        data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / f"{name}.jsonl")}}}
        (folder / f"{name}.yaml").write_text(json.dumps({"task": name, "test_split": "test", **data, **task}))


def evaluate_by_lm_eval(model: Path, folder: Path, variant: str) -> None:
    """As `lm_eval --log_samples --output_path FOLDER/VARIANT` would, on a model that is loaded here."""
    import lm_eval
    import torch
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    quantized: dict[str, Any] = {}
    if variant == "nf4":
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
        quantized = {"quantization_config": config}
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, **quantized)
    lm = HFLM(pretrained=loaded, tokenizer=AutoTokenizer.from_pretrained(model), batch_size=4)
    tracker = EvaluationTracker(output_path=str(folder / variant))
    found = lm_eval.simple_evaluate(
        model=lm,
        tasks=list(TASKS),
        bootstrap_iters=0,
        log_samples=True,
        evaluation_tracker=tracker,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
    )
    assert found is not None
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name in found["configs"]:
        tracker.save_results_samples(task_name=name, samples=samples[name])


@pytest.fixture(scope="module")
def both(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, harness.Run, harness.Run]]:
    """The results folder, the imported run and our own."""
    folder = tmp_path_factory.mktemp("both")
    before = {name: os.environ.get(name) for name in ("HF_DATASETS_CACHE", "HF_HUB_OFFLINE")}
    os.environ.update(HF_DATASETS_CACHE=str(folder / "cache"), HF_HUB_OFFLINE="1")
    try:
        written_tasks(folder)
        for variant in ("fp32", "nf4"):
            evaluate_by_lm_eval(model, folder, variant)
        gates = [{"task": "facts", "metric": "acc", "max_drop": 0.3}]
        imports = {"fp32": {"import": "fp32", "baseline": True}, "nf4": {"import": "nf4"}}
        (folder / "imported.yaml").write_text(json.dumps({"suite": "imported", "variants": imports, "gates": gates}))
        own = {
            "suite": "own",
            "model": str(model),
            "variants": {
                "fp32": {"baseline": True, "dtype": "float32"},
                "nf4": {"quantize": {"method": "bitsandbytes", "bits": 4, "type": "nf4", "compute_dtype": "float32"}},
            },
            "tasks": {name: {"lm_eval": f"{name}.yaml"} for name in TASKS},
            "gates": gates,
            "noise_floor": False,
        }
        (folder / "own.yaml").write_text(json.dumps(own))
        results = folder / "results"
        yield (
            results,
            harness.run(folder / "imported.yaml", results=results),
            harness.run(folder / "own.yaml", results=results, offline=True),
        )
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def records(results: Path, run: RunManifest, variant: str, task: str) -> list[ItemRecord]:
    """In the order of the data."""
    store = Store(results)
    by_id = {record.item: record for record in store.items(run.variants[variant].evaluations[task])}
    return [by_id[item.item] for item in store.plan(run.tasks[task].plan)]


def values(record: ItemRecord) -> dict[str, float]:
    return {name: outcome.value for name, outcome in record.metrics.items() if isinstance(outcome, Scored)}


def likelihoods(record: ItemRecord) -> list[float]:
    return [option.log_likelihood for option in record.options if option.log_likelihood is not None]


def test_the_plans_show_the_same(both: tuple[Path, harness.Run, harness.Run]) -> None:
    """Prompts, options and references of every item, letter by letter; metrics by the same names."""
    results, imported, own = both
    store = Store(results)
    for task, count in ITEMS.items():
        theirs, ours = (store.plan(run.manifest.tasks[task].plan) for run in (imported, own))
        assert len(theirs) == len(ours) == count
        for one, other in zip(theirs, ours, strict=True):
            assert (one.prompt, one.options, one.expected) == (other.prompt, other.options, other.expected)
        assert set(imported.manifest.tasks[task].metrics) == set(own.manifest.tasks[task].metrics)


def test_the_full_precision_model_is_the_same(both: tuple[Path, harness.Run, harness.Run]) -> None:
    """Values exactly, log-likelihoods within 1e-3 nats, answers letter by letter."""
    results, imported, own = both
    for task in ITEMS:
        pairs = zip(*(records(results, run.manifest, "fp32", task) for run in (imported, own)), strict=True)
        for theirs, ours in pairs:
            assert values(theirs) == values(ours)
            assert likelihoods(theirs) == pytest.approx(likelihoods(ours), abs=1e-3)
            assert (theirs.answer is None) == (ours.answer is None)
            if theirs.answer is not None and ours.answer is not None:
                assert theirs.answer.text == ours.answer.text


def test_the_quantized_model_is_the_same_up_to_its_own_noise(both: tuple[Path, harness.Run, harness.Run]) -> None:
    """Log-likelihoods within `NF4_NATS`, the same choice where the best two options are further apart than that."""
    results, imported, own = both
    pairs = zip(*(records(results, run.manifest, "nf4", "facts") for run in (imported, own)), strict=True)
    for theirs, ours in pairs:
        assert likelihoods(theirs) == pytest.approx(likelihoods(ours), abs=NF4_NATS)
        best = sorted(likelihoods(theirs))[-2:]
        if best[1] - best[0] > 2 * NF4_NATS:
            assert values(theirs)["acc"] == values(ours)["acc"]
    texts = [
        [record.answer.text for record in records(results, run.manifest, "nf4", "short") if record.answer is not None]
        for run in (imported, own)
    ]
    assert sum(one == other for one, other in zip(*texts, strict=True)) >= ITEMS["short"] - 2


def test_the_verdicts_agree(both: tuple[Path, harness.Run, harness.Run]) -> None:
    """The baseline's level of every metric is the same number, and so are the pairs."""
    _, imported, own = both
    theirs, ours = imported.verdict.baseline_measures, own.verdict.baseline_measures
    assert {name: theirs[name] for name in ours} == pytest.approx(ours)
    assert [each.n for each in imported.verdict.candidates[0].measures] == [
        each.n for each in own.verdict.candidates[0].measures
    ]
