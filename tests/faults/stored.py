"""One stored run of a scripted suite, and everything that reading it gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import harness
from harness.commands.saved import promote_version
from harness.records.run_manifest import RunManifest
from harness.records.store import Store

SUITE = "kept"
VARIANTS: dict[str, object] = {
    "full": {"engine": "scripted", "baseline": True, "script": {}},
    "good": {
        "engine": "scripted",
        "quantized": True,
        "script": {"quantized_modules": 12, "noise": 0.03, "shift": 0.001, "digest": "good"},
    },
    "bad": {
        "engine": "scripted",
        "quantized": True,
        "script": {"quantized_modules": 12, "noise": 0.9, "shift": 0.5, "digest": "bad"},
    },
}
GATES: list[dict[str, object]] = [
    {"task": "ask", "metric": "acc", "max_drop": 0.02},
    {"task": "read", "metric": "perplexity", "max_increase": "10%"},
]


def write_suite(
    folder: Path, *, name: str = SUITE, items: int = 60, answers: Sequence[str] = (), **changes: object
) -> Path:
    """The suite and its data. Keywords replace whole sections; `answers`: to the questions, instead of `yes`."""
    known = [*answers, *["yes"] * (items - len(answers))]
    rows = [{"id": f"q{n}", "q": f"Question {n}?", "a": a, "topic": "ab"[n % 2]} for n, a in enumerate(known)]
    texts = [{"id": f"d{n}", "text": f"Document {n} says so. " * 4} for n in range(9)]
    for data, each in (("ask", rows), ("read", texts)):
        (folder / f"{data}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in each))
    ask = {"data": "ask.jsonl", "prompt": "{{q}}", "choices": ["yes", "no"], "answer": "{{a}}"}
    suite = {
        "suite": name,
        "model": "none",
        "variants": VARIANTS,
        "tasks": {
            "ask": {"choice": ask, "id": "id", "slice_by": ["topic"]},
            "read": {"perplexity": {"data": "read.jsonl", "window": 64}, "id": "id"},
        },
        "gates": GATES,
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(suite))
    return path


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A results folder and the run in it."""

    results: Path
    run: RunManifest

    def address(self, variant: str, task: str, name: str) -> str:
        """Of a file beside an evaluation's items."""
        return f"evaluations/{self.run.variants[variant].evaluations[task]}/{name}"

    def at(self, results: Path) -> Kept:
        """The same in a copy."""
        return Kept(results=results, run=self.run)


def make(folder: Path) -> Kept:
    """Run the suite, timings and second pass included, and promote `good`. The baseline is right on seven of eight."""
    speed = {"workloads": [{"batch": 1, "prompt_tokens": 4, "new_tokens": 3}], "pairs": 6}
    asked = harness.run(write_suite(folder), results=folder / "asked", tasks=("ask",)).manifest
    answers = _chosen(Store(folder / "asked"), asked)
    done = harness.run(write_suite(folder, answers=answers, speed=speed), results=folder / "results")
    promote_version(done.manifest.run, "good", folder / "results", name="v1", note="", force=True)
    return Kept(results=folder / "results", run=done.manifest)


def _chosen(store: Store, run: RunManifest) -> list[str]:
    """What the baseline answers, turned round for every eighth question."""
    found = {item.item: item.options for item in store.items(run.variants["full"].evaluations["ask"])}
    likely = [[option.log_likelihood or 0.0 for option in found[f"q{n}"]] for n in range(len(found))]
    return [("yes", "no")[(values[1] > values[0]) ^ (n % 8 == 7)] for n, values in enumerate(likely)]


def records(results: Path) -> list[str]:
    """Addresses of everything that is read as a record."""
    kinds = ("plans/*", "speed/*", "evaluations/*/*", "evaluations/*/states/*", "*/runs/*/*.json", "*/accepted.jsonl")
    files = (path for kind in kinds for path in results.glob(kind) if path.is_file())
    return sorted({str(path.relative_to(results)) for path in files if not path.name.startswith(".")})


def everything(results: Path, run: str) -> dict[str, object]:
    """What reading gives, in every way in which something is read. Raises `RecordError`."""
    store = Store(results)
    manifest = store.find_run(run)
    store.check_bound(manifest)
    found: dict[str, object] = {
        "run": manifest,
        "verdict": store.verdict(manifest.suite, manifest.run),
        "summary": store.summary(manifest.suite, manifest.run),
        "accepted": store.accepted(manifest.suite),
    }
    for asked in manifest.tasks.values():
        lines = store.plan_columns(asked.plan).lines.tolist()
        found[f"plan {asked.task}"] = store.plan(asked.plan), lines, store.planned(asked.plan, lines[-2:])
    for variant in manifest.variants.values():
        found[f"speed {variant.variant}"] = None if variant.speed is None else store.speed(variant.speed)
        for task, key in (*variant.evaluations.items(), *variant.second_pass.items()):
            found |= _evaluation(store, f"{variant.variant} {task} {key}", key, manifest.tasks[task].metrics)
    return found


def _evaluation(store: Store, name: str, key: str, metrics: tuple[str, ...]) -> dict[str, object]:
    manifest, items, columns = store.evaluation(key), store.items(key), store.columns(key, metrics)
    assert manifest is not None
    store.plan(manifest.identity.requests)
    states = {}
    for state in manifest.states:
        store.check_states(key, state)
        states[state] = (store.evaluation_folder(key) / "states" / state).read_bytes()
    store.check_head(key)
    places = {item.item: place for place, item in enumerate(items)}
    values = {metric: np.nan_to_num(columns.answers.metrics[metric]).tolist() for metric in metrics}
    return {
        name: (manifest, items, values, columns.answers.likelihoods.tolist()),
        f"{name} in order": list(store.ordered(key, places)),
        f"{name} some": store.records(key, columns.answers, range(2)),
        f"{name} states": states,
        f"{name} batches": (store.batches(key), store.batch_tokens(key), store.stopped(key)),
    }
