"""What an earlier run stored is used only for the model that gave it, and no run takes anything from another."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.api import Run
from harness.planning.lm_eval.task_files import task_files
from harness.records.store import Store
from harness.runner.loader_libraries import Source, reader_of
from harness.runner.variants import resolve_variant
from harness.suite.load import load_suite
from harness.suite.locations import ModelLocation
from harness.suite.variant_model import Variant
from tests.faults.checkpoints import Tensors, altered, configured, save_adapter, save_llama

GATES = [{"task": "ask", "metric": "acc", "max_drop": 0.05}]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path) -> Iterator[None]:
    before = os.environ.get("QUANTGATE_CACHE")
    os.environ["QUANTGATE_CACHE"] = str(tmp_path / "cache")
    yield
    if before is None:
        del os.environ["QUANTGATE_CACHE"]
    else:
        os.environ["QUANTGATE_CACHE"] = before


def suite(folder: Path, variants: dict[str, Any], *, model: str = "./model", **more: Any) -> Path:
    rows = [{"q": f"w{number} w{number + 1}", "a": f"w{number + 3}", "b": f"w{number + 40}"} for number in range(5, 45)]
    (folder / "ask.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ask = {"data": "ask.jsonl", "prompt": "{{q}}", "choices": ["{{a}}", "{{b}}"], "answer": "{{a}}"}
    path = folder / "suite.yaml"
    tasks = {"ask": {"choice": ask}}
    path.write_text(
        json.dumps({"suite": "reuse", "model": model, "variants": variants, "tasks": tasks, "gates": GATES, **more})
    )
    return path


def keys(run: Run) -> dict[str, str | None]:
    return {name: each.evaluations.get("ask") for name, each in run.manifest.variants.items()}


def shifted(tensors: Tensors) -> None:
    """Every output weight of a token is its neighbour's: another model in as many bytes."""
    tensors["lm_head.weight"].copy_(tensors["lm_head.weight"].roll(1, 0))


def overwrite(target: Path, source: Path) -> None:
    """In place, the time of change put back."""
    before = target.stat()
    content = source.read_bytes()
    assert len(content) == before.st_size
    with target.open("r+b") as stream:
        stream.write(content)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap_words(tokenizer: Path) -> None:
    """Two words change their ids."""
    text = tokenizer.read_text()
    tokenizer.write_text(text.replace('"w5": 5', '"w5": 6x').replace('"w6": 6', '"w6": 5').replace("6x", "6"))
    assert tokenizer.read_text() != text


@pytest.mark.slow
@pytest.mark.fault("F1", "a candidate's weights overwritten in place between two runs, time of change put back")
@pytest.mark.fault("F2", "a candidate's tokenizer replaced between two runs", "INVALID, its tokens disagree")
@pytest.mark.fault("M35", "the tokenizer of a copy of the baseline replaced", "INVALID, its tokens disagree")
@pytest.mark.fault("F4", "the base behind an adapter's folder overwritten")
@pytest.mark.fault("F13", "a copy of the baseline as a candidate", "it is named as the same model")
def test_a_model_that_changed_is_asked_again(tmp_path: Path) -> None:
    """Nothing changed: nothing is loaded. Then each variant changes in another way, and each is judged anew."""
    base = save_llama(tmp_path / "model")
    for name in ("near", "copy", "under"):
        shutil.copytree(base, tmp_path / name)
    save_adapter(tmp_path / "under", tmp_path / "tuned")
    other = altered(base, tmp_path / "other", shifted)
    path = suite(
        tmp_path,
        {
            "fp": {"baseline": True},
            "near": {"path": "./near", "dtype": "float32", "quantized": False},
            "copy": {"path": "./copy", "quantized": False},
            "tuned": {"path": "./tuned", "quantized": False},
        },
    )
    results = tmp_path / "results"
    first = harness.run(path, results=results, offline=True)
    assert all(keys(first).values())
    assert keys(first)["copy"] == keys(first)["fp"]
    again = harness.run(path, results=results, offline=True)
    assert keys(again) == keys(first)
    assert not (Store(results).run_folder("reuse", again.manifest.run) / "logs").exists()
    overwrite(tmp_path / "near" / "model.safetensors", other / "model.safetensors")
    overwrite(tmp_path / "under" / "model.safetensors", other / "model.safetensors")
    swap_words(tmp_path / "copy" / "tokenizer.json")
    third = harness.run(path, results=results, offline=True)
    assert keys(third)["fp"] == keys(first)["fp"]
    assert keys(third)["near"] not in (None, keys(first)["near"])
    assert keys(third)["tuned"] not in (None, keys(first)["tuned"])
    assert keys(third)["copy"] is None
    assert third.manifest.variants["copy"].token_disagreement is not None
    assert {each.variant: each.decision for each in third.verdict.candidates}["copy"] == "INVALID"
    store = Store(results)
    for name, key in keys(first).items():
        assert store.evaluation(str(key)) is not None, name


@pytest.mark.slow
@pytest.mark.fault(
    "F6", "--fresh --variant on a candidate with other weights of the same name", "the baseline is its own"
)
@pytest.mark.fault(
    "F7", "--fresh with two variants of one key, the second unfit", "INVALID for that one, nothing is lost"
)
@pytest.mark.fault("M36", "--fresh with two variants of one key")
def test_fresh_makes_another_attempt_and_takes_nothing_away(tmp_path: Path) -> None:
    """What this run has made is used by whoever shares it; what earlier runs point at stays; later runs use the new."""
    base = save_llama(tmp_path / "model")
    for name in ("copy", "broken"):
        shutil.copytree(base, tmp_path / name)
    swap_words(tmp_path / "broken" / "tokenizer.json")
    path = suite(
        tmp_path,
        {
            "fp": {"baseline": True},
            "copy": {"path": "./copy", "quantized": False},
            "broken": {"path": "./broken", "quantized": False},
        },
    )
    results, store = tmp_path / "results", Store(tmp_path / "results")
    first = harness.run(path, results=results, offline=True)
    fresh = harness.run(path, results=results, offline=True, fresh=True)
    assert keys(fresh)["fp"] == keys(fresh)["copy"] != keys(first)["fp"]
    assert {each.variant: each.decision for each in fresh.verdict.candidates}["broken"] == "INVALID"
    assert store.evaluation(str(keys(first)["fp"])) is not None
    assert harness.gate(first.manifest.run, results=results).decision == first.verdict.decision
    later = harness.run(path, results=results, offline=True)
    assert keys(later)["fp"] == keys(fresh)["fp"]
    other = altered(base, tmp_path / "other", shifted)
    overwrite(tmp_path / "copy" / "model.safetensors", other / "model.safetensors")
    changed = harness.run(path, results=results, offline=True, fresh=True, variants=("copy",))
    digests = [store.evaluation(str(keys(each)["fp"])) for each in (first, changed)]
    assert len({each.digest for each in digests if each is not None}) == 1
    assert keys(changed)["copy"] not in (None, keys(changed)["fp"])


@pytest.mark.slow
@pytest.mark.fault(
    "M11", "an adapter's folder with a tokenizer of its own as the model", "plan and engine both take it"
)
@pytest.mark.fault("M13", "an adapter's folder without a tokenizer as the model", "both take its base's")
def test_an_adapter_as_the_model_is_planned_and_asked_with_one_tokenizer(tmp_path: Path) -> None:
    """Every task is measured, whether the adapter brings a tokenizer or not."""
    base = save_llama(tmp_path / "base")
    for name in ("own", "none"):
        save_adapter(base, tmp_path / name)
    for each in base.glob("*token*"):
        shutil.copy(each, tmp_path / "own" / each.name)
    swap_words(tmp_path / "own" / "tokenizer.json")
    for name in ("own", "none"):
        for each in (tmp_path / name).glob("*token*") if name == "none" else ():
            each.unlink()
        folder = tmp_path / f"suite-{name}"
        folder.mkdir()
        variants = {"fp": {"baseline": True}, "near": {"dtype": "bfloat16", "quantized": False}}
        path = suite(folder, variants, model=str(tmp_path / name))
        run = harness.run(path, results=folder / "results", offline=True)
        assert all(keys(run).values()), name


@pytest.mark.fault("T16", "the Python behind an included YAML edited between two runs", "the task is another one")
def test_a_task_s_code_is_found_wherever_it_comes_from(tmp_path: Path) -> None:
    """Includes, folders beside and below, modules that modules import; nothing else."""
    files = {
        "task/one.yaml": "task: one\ninclude: ../base/base.yaml\n",
        "base/base.yaml": "include:\n  - deeper/more.yaml\nprocess_results: !function scorer.pr\n",
        "base/deeper/more.yaml": "doc_to_text: !function sub.texts.make\n",
        "base/deeper/sub/texts.py": "def make(doc):\n    from . import words\n    return 'x'\n",
        "base/deeper/sub/words.py": "WORDS = 1\n",
        "base/scorer.py": "import helper, json\ndef pr(doc, results):\n    return {}\n",
        "base/helper/__init__.py": "from helper.inner import x\n",
        "base/helper/inner.py": "x = 1\n",
    }
    idle = {"base/unused.py": "", "base/README.md": "", "base/deeper/other.yaml": "task: two\n"}
    for name, content in (files | idle).items():
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    assert task_files(tmp_path / "task" / "one.yaml") == tuple(sorted(tmp_path / name for name in files))


def test_an_adapter_on_a_quantized_base_is_read_by_the_base_s_libraries(tmp_path: Path) -> None:
    """Which libraries read the weights stands in the configuration of the base, wherever the adapter lies."""
    for name, content in (
        ("base/config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}),
        ("tuned/adapter_config.json", {"base_model_name_or_path": "../base"}),
    ):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(json.dumps(content))
    found = reader_of(Variant(), Source(place=ModelLocation(path=str(tmp_path / "tuned"), is_hub=False), offline=True))
    assert {"bitsandbytes", "peft"} <= set(found.packages)


def test_a_models_own_code_is_part_of_what_it_is(tmp_path: Path) -> None:
    """The same folder with its code and without is two models; code of another repository is known by no commit."""
    base = save_llama(tmp_path / "model")
    variants = {"plain": {"baseline": True}, "own": {"trust_remote_code": True}}
    loaded = load_suite(suite(tmp_path, variants))
    before = [resolve_variant(loaded, name, offline=True) for name in variants]
    assert before[0].weights == before[1].weights
    (base / "modeling_own.py").write_text("")
    named = {"AutoModelForCausalLM": "modeling_own.Own"}
    changed = configured(base, tmp_path / "changed", auto_map=named)
    (base / "config.json").write_bytes((changed / "config.json").read_bytes())
    plain, own = (resolve_variant(loaded, name, offline=True) for name in variants)
    assert plain.weights != own.weights
    assert plain.is_known
    assert own.is_known
    (base / "config.json").write_text(
        (base / "config.json").read_text().replace("modeling_own.Own", "me/other--modeling_own.Own")
    )
    plain, own = (resolve_variant(loaded, name, offline=True) for name in variants)
    assert plain.is_known
    assert not own.is_known
