"""The model before fine-tuning in a run: evaluated once, beside the others, and never in their way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.errors import EngineError
from harness.records.store import Store
from harness.runner.base_model import resolve_base
from harness.runner.preflight import preflight_problems
from harness.suite.load import load_suite

Write = Callable[..., Path]
BASE = {"path": "before", "script": {"shift": 0.5, "seed": 3}}
GATES = [
    {"task": "read", "metric": "perplexity", "min_retained": "80%"},
    {"task": "read", "metric": "perplexity", "max_increase": "10%"},
]


def variants(**script: object) -> dict[str, object]:
    return {
        "full": {"engine": "scripted", "baseline": True, "script": {}},
        "small": {"engine": "scripted", "quantized": True, "script": {"quantized_modules": 12, **script}},
    }


def test_it_is_run_on_the_same_plan_and_kept(write_suite: Write, tmp_path: Path) -> None:
    """Same items, no divergence, no timing, no candidate of its own; a second run computes nothing again."""
    suite = write_suite(base=BASE, gates=GATES, variants=variants(shift=0.05, noise=0.05))
    run = harness.run(suite, results=tmp_path / "r")
    base = run.manifest.base
    assert base is not None
    assert set(base.evaluations) == {"ask", "say", "read"}
    assert (base.speed, base.must_be_quantized, list(run.manifest.variants)) == (None, False, ["full", "small"])
    store = Store(tmp_path / "r")
    manifest = store.evaluation(base.evaluations["read"])
    assert manifest is not None
    assert not (store.evaluation_folder(manifest.key) / "states").exists()
    candidate = run.verdict.candidates[0]
    shares = {(row.task, row.metric): row.retained for row in candidate.retained}
    assert shares["read", "perplexity"] == pytest.approx(0.9, abs=0.02)
    assert (candidate.decision, run.verdict.exit_code) == ("PASS", 0)
    again = harness.run(suite, results=tmp_path / "r")
    assert again.manifest.base == base.model_copy(update={"log": None})
    assert not (store.run_folder("scripted", again.manifest.run) / "logs").exists()


def test_it_never_takes_the_place_of_the_baseline(write_suite: Write, tmp_path: Path) -> None:
    """The same model as a base first and as a baseline later: the later run has the states it needs."""
    results = tmp_path / "r"
    harness.run(write_suite(base={"path": "b", "script": {"seed": 5}}, variants=variants()), results=results)
    other = variants()
    other["full"] = {"engine": "scripted", "baseline": True, "script": {"seed": 5}}
    run = harness.run(write_suite(variants=other), results=results)
    assert run.manifest.variants["small"].failure is None
    assert any(measure.metric == "kl_mean" for measure in run.verdict.candidates[0].measures)


@pytest.mark.parametrize(
    ("script", "decision", "says"),
    [
        ({"refuse": True}, "INCONCLUSIVE", "could not be run: the script says to refuse"),
        ({"die_after": 5}, "INCONCLUSIVE", "could not be run"),
        ({"tokens": "shift"}, "INVALID", "tokenizer disagrees"),
        ({"digest": "full"}, "INVALID", "weights equal the fine-tuned model's"),
        ({"nan": True}, "INVALID", "no finite answer"),
        ({"shift": -0.4}, "INVALID", "fine-tuning made this worse"),
    ],
)
def test_its_trouble_stays_its_own(
    write_suite: Write, tmp_path: Path, script: dict[str, object], decision: str, says: str
) -> None:
    """Whatever is wrong with the base, the run is whole and the other gates are judged."""
    base = {"path": "before", "script": script}
    run = harness.run(write_suite(base=base, gates=GATES, variants=variants(shift=0.05)), results=tmp_path / "r")
    kept, rise = run.verdict.candidates[0].findings
    assert (kept.decision, rise.decision) == (decision, "PASS")
    assert says in kept.reason


def test_a_base_that_is_not_there_is_named(write_suite: Write, tmp_path: Path) -> None:
    """`check` names it; a run says so and goes on."""
    plain = variants()
    path = write_suite(base="./nowhere", variants=plain)
    loaded = load_suite(path)
    assert loaded.suite.base is not None
    assert loaded.suite.base.path == "./nowhere"
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    suite = json.loads(path.read_text())
    suite |= {"model": "model", "variants": {"full": {"baseline": True, "dtype": "float32"}}}
    path.write_text(json.dumps(suite))
    loaded = load_suite(path)
    assert any("base model: no model folder at ./nowhere" in each for each in preflight_problems(loaded))
    with pytest.raises(EngineError, match=r"base: no model folder at \./nowhere"):
        resolve_base(loaded, offline=True)


def test_auto_is_the_adapters_base(write_suite: Write, tmp_path: Path) -> None:
    """`base: auto` takes the folder that the adapter names, with the baseline's dtype; without one it says so."""
    for name in ("model", "tuned"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    adapter = tmp_path / "tuned" / "adapter_config.json"
    adapter.write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "model")}))
    path = write_suite(base="auto")
    suite = json.loads(path.read_text())
    suite |= {"model": "tuned", "variants": {"full": {"baseline": True, "dtype": "bfloat16"}}}
    path.write_text(json.dumps(suite))
    found = resolve_base(load_suite(path), offline=True)
    assert (found.load.path, found.load.dtype, found.load.adapter) == (str(tmp_path / "model"), "bfloat16", None)
    adapter.unlink()
    with pytest.raises(EngineError, match="needs a folder with a PEFT adapter"):
        resolve_base(load_suite(path), offline=True)
