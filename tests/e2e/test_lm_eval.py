"""Scores equal lm-eval's own `hf` model on the same items: an independent task definition, an independent engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.commands.show import export
from harness.records.items import ItemRecord, Scored
from harness.records.store import Store

pytestmark = pytest.mark.model
CHOICES, ANSWERS = 20, 6
"""Items of a task; `make bench` compares more of them, item by item."""
CHOICE = {
    "hellaswag": ("{{activity_label}}: {{ctx}}", "endings"),
    "truthfulqa_mc1": ("Q: {{question}}\nA:", "choices"),
}


def lm_eval_samples(model: Path, name: str, config: dict[str, Any], limit: int | None = None) -> list[dict[str, Any]]:
    """What lm-eval 0.4.13 itself says of every document, in order."""
    import datasets
    import lm_eval
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.models.huggingface import HFLM

    rows = [json.loads(line) for line in Path(config.pop("file")).read_text().splitlines()][:limit]
    whole = {
        "task": name,
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)},
        "test_split": "test",
        **config,
    }
    lm = HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=8)
    found = lm_eval.simple_evaluate(model=lm, tasks=[ConfigurableTask(config=whole)], bootstrap_iters=0)
    assert found is not None
    return sorted(found["samples"][name], key=lambda sample: int(sample["doc_id"]))


def our_items(model: Path, folder: Path, task: dict[str, Any]) -> list[ItemRecord]:
    """The items of a run of the same task, in file order."""
    suite = {
        "suite": "equal",
        "model": str(model),
        "variants": {"fp32": {"baseline": True, "dtype": "float32"}},
        "tasks": {"t": task},
    }
    path = folder / "suite.yaml"
    path.write_text(json.dumps(suite))
    run = harness.run(path, results=folder / "results", offline=True)
    store = Store(folder / "results")
    by_id = {item.item: item for item in store.items(run.manifest.variants["fp32"].evaluations["t"])}
    return [by_id[planned.item] for planned in store.plan(run.manifest.tasks["t"].plan)]


def our_lines(folder: Path) -> list[dict[str, Any]]:
    """The items of that run as `show --format lm-eval` writes them."""
    export("latest", folder / "results", task=None, form="lm-eval", out=folder / "exported")
    (samples,) = (folder / "exported" / "fp32").glob("samples_t_*.jsonl")
    return [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]


def first(file: Path, items: int, folder: Path) -> Path:
    """A file of its first rows."""
    short = folder / file.name
    short.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:items]))
    return short


def value(item: ItemRecord, metric: str) -> float:
    outcome = item.metrics[metric]
    assert isinstance(outcome, Scored)
    return outcome.value


@pytest.mark.parametrize("name", sorted(CHOICE))
def test_choice_equals_lm_eval(name: str, model: Path, data: Path, tmp_path: Path) -> None:
    """Every option's log-likelihood within 1e-3 nats; acc and acc_norm of every item exactly, and what is exported in
    lm-eval's form has lm-eval's own hashes of prompt and target."""
    prompt, options = CHOICE[name]
    file = data / name / f"{name}.jsonl"
    theirs = lm_eval_samples(
        model,
        name,
        {
            "file": file,
            "output_type": "multiple_choice",
            "doc_to_text": prompt,
            "doc_to_choice": options,
            "doc_to_target": "expected_index",
            "metric_list": [
                {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm")
            ],
        },
        limit=CHOICES,
    )
    choice = {
        "data": str(first(file, CHOICES, tmp_path)),
        "prompt": prompt,
        "choices": f"{{{{{options}}}}}",
        "answer": "{{expected_index}}",
    }
    ours = our_items(model, tmp_path, {"choice": choice})
    assert len(ours) == len(theirs) == CHOICES
    for sample, item in zip(theirs, ours, strict=True):
        expected = [float(response[0]) for response in sample["filtered_resps"]]
        got = [option.log_likelihood for option in item.options]
        assert got == pytest.approx(expected, abs=1e-3)
        assert (value(item, "acc"), value(item, "acc_norm")) == (sample["acc"], sample["acc_norm"])
    for sample, line in zip(theirs, our_lines(tmp_path), strict=True):
        for name in ("doc_id", "filter", "metrics", "prompt_hash", "target_hash", "acc", "acc_norm"):
            assert line[name] == sample[name], name


def test_generation_equals_lm_eval(model: Path, data: Path, tmp_path: Path) -> None:
    """The generated text of six word problems, greedy, 64 tokens, letter by letter; exported in lm-eval's form too."""
    file = data / "gsm8k" / "gsm8k.jsonl"
    theirs = lm_eval_samples(
        model,
        "gsm8k",
        {
            "file": file,
            "output_type": "generate_until",
            "doc_to_text": "Question: {{prompt}}\nAnswer:",
            "doc_to_target": "{{expected}}",
            "generation_kwargs": {"until": ["Question:"], "max_gen_toks": 64, "do_sample": False},
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        },
        limit=ANSWERS,
    )
    generate = {
        "data": str(first(file, ANSWERS, tmp_path)),
        "prompt": "Question: {{prompt}}\nAnswer:",
        "answer": "{{expected}}",
        "max_new_tokens": 64,
        "until": ["Question:"],
    }
    ours = our_items(model, tmp_path, {"generate": generate})
    assert len(ours) == ANSWERS
    texts = [item.answer.text for item in ours if item.answer is not None]
    assert texts == [sample["resps"][0][0] for sample in theirs]
    for sample, line in zip(theirs, our_lines(tmp_path), strict=True):
        for name in ("doc_id", "filter", "resps", "filtered_resps", "metrics", "prompt_hash", "target_hash"):
            assert line[name] == sample[name], name
