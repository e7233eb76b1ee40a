"""What the golden files are made from: stored runs and suites with one of everything, equal on every machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.records.items import ItemRecord, outcome
from harness.records.run_manifest import (
    Accepted,
    CalibrationOverlap,
    RunManifest,
    TokenDisagreement,
    VariantRun,
)
from harness.records.timings import MemoryFigures, SpeedRecord, TimedPair
from tests.derivations.test_betting_steps import GATES as EARLY_GATES
from tests.derivations.test_betting_steps import stopped
from tests.explanations.saved import questions, replies, speed, texts
from tests.gates.handmade import HOST, NOW, QUANTIZED, Bench, facts
from tests.reports.example import example

Gates = Sequence[Mapping[str, object]]
TASKS = ("t", "c", "w")
BOTH = ("q8", "q4")
GATES: Gates = (
    {"task": "t", "metric": "acc", "max_drop": 0.02, "name": "answers"},
    {"task": "t", "metric": "f1", "max_drop": 0.05, "variants": list(BOTH)},
    {"task": "t", "metric": "acc", "max_drop": 0.08, "slice": "each", "variants": list(BOTH)},
    {"task": "t", "metric": "acc", "max_drop": 0.05, "against": "reference", "variants": list(BOTH)},
    {"task": "c", "metric": "acc", "max_drop": 0.1},
    {"task": "c", "metric": "f1", "max_drop": 0.1, "alpha": 0.01, "variants": list(BOTH)},
    {"task": "t", "metric": "acc", "max_relative_drop": "30%", "variants": list(BOTH)},
    {"task": "c", "metric": "f1", "max_relative_drop": 0.2, "severity": "warn"},
    {"task": "t", "metric": "acc", "min_recovery": 0.97, "variants": list(BOTH)},
    {"task": "t", "metric": "acc", "min_retained": 0.8, "variants": list(BOTH)},
    {"task": "w", "metric": "perplexity", "min_retained": 0.8, "variants": list(BOTH)},
    {"task": "w", "metric": "perplexity", "max_increase": "2%", "variants": list(BOTH)},
    {
        "task": "w", "metric": "bits_per_byte", "max_increase": 0.005, "name": "bits", "slice": "half=a",
        "variants": list(BOTH),
    },
    {"task": "w", "metric": "kl_mean", "max": 0.02, "variants": list(BOTH)},
    {"task": "w", "metric": "kl_p99", "max": 0.06, "variants": list(BOTH)},
    {"task": "w", "metric": "top1_agreement", "min": 0.95, "variants": list(BOTH)},
    {"task": "w", "metric": "delta_p_rms", "max": 0.1, "variants": list(BOTH)},
    {"task": "t", "metric": "acc", "min": 0.5, "on": "baseline"},
    {"task": "c", "metric": "f1", "min": 0.3},
    {"task": "w", "metric": "perplexity", "max": 15.0, "variants": list(BOTH)},
    {"metric": "decode_tokens_per_s", "min_ratio": 1.2},
    {"metric": "ttft_s", "max_ratio": 0.9, "workload": "1x10+10", "severity": "warn", "variants": list(BOTH)},
    {"metric": "weight_bytes", "max_ratio": 0.55},
    {"metric": "weight_bytes", "max": 40, "variants": list(BOTH)},
    {"tasks": {"t": 2, "c": 1}, "metric": "acc", "max_drop": 0.03, "name": "both"},
    {"task": "t", "metric": "acc", "max_excess_drop": 0.1, "slice": "half=a", "variants": list(BOTH)},
)  # fmt: skip
"""Every form, kind of metric and option of a gate."""
WAIVERS = (
    {"gate": "answers", "variant": "q4", "reason": "known bug #12", "by": "Ann", "until": "2999-12-31"},
    {"gate": "bits", "variant": "q4", "reason": "for the release", "by": "Bob", "until": "2001-01-01"},
)


def suite_text(bench: Bench, gates: Gates, **changes: object) -> str:
    """JSON is YAML."""
    kinds = {
        name: {**({"perplexity": {"data": "d"}} if task.kind == "perplexity" else {"lm_eval": name}),
               "slice_by": ["half"]}
        for name, task in bench.tasks.items()
    }  # fmt: skip
    whole = {
        "suite": "s",
        "model": "m",
        "variants": {name: {"baseline": name == "fp32"} for name in bench.variants},
        "tasks": kinds,
        "speed": {"workloads": [{"batch": 1, "prompt_tokens": 10, "new_tokens": 10}], "pairs": 12},
        "gates": list(gates),
        **changes,
    }
    return json.dumps(whole, indent=1)


def save(bench: Bench, text: str, run: str, **changes: object) -> None:
    manifest = RunManifest(
        run=run, suite="s", suite_file="s.yaml", suite_hash="", suite_text=text, baseline="fp32",
        variants=bench.variants, tasks=bench.tasks, host=HOST, quantgate="0", started_at=NOW, elapsed_s=61.5,
    )  # fmt: skip
    bench.store.save_run(manifest.model_copy(update=changes))


def rich(root: Path) -> None:
    """Run r2 of a base model, a baseline asked twice and five candidates, two versions promoted before it."""
    rng, bench = np.random.default_rng(15), Bench(root)
    noise = {"old": 0.05, "q8": 0.02, "fake": 0.3}
    for task, n, clusters in (("t", 160, 0), ("c", 90, 60)):
        plan = questions(task, n, rng, clusters=clusters, prompt=f"What of {task}?")
        before = rng.normal(size=(n, 3))
        tuned = before.copy()
        tuned[np.arange(n), np.arange(n) % 3] += 1.5 * (rng.random(n) < 0.7)
        bench.plan(task, plan, metrics=("acc", "f1"))
        bench.evaluation("base model", task, replies(plan, rng, 0.0, before))
        bench.evaluation("fp32", task, replies(plan, rng, 0.0, tuned))
        for name, share in noise.items():
            bench.evaluation(name, task, replies(plan, rng, share, tuned))
        bench.evaluation("q4", task, replies(plan, rng, 30.0 if task == "t" else 1.0, tuned))
        if task == "t":
            again = replies(plan, rng, 0.03, tuned)[::4]
            bench.store.save_plan("plan-again", plan[::4])
            bench.evaluation("fp32", "again", again, batching="second-pass-1")
    _documents(bench, rng)
    everything = list(TASKS)
    bench.variant("fp32", everything, second_pass={"t": bench.key("fp32", "again")})
    base = VariantRun(
        variant="base model", evaluations={task: bench.key("base model", task) for task in TASKS},
        facts=facts(weights_digest="before"),
    )  # fmt: skip
    whole = dict(bench.variants)
    for run, label, day in (("r0", "v1", "2025-01-01"), ("r1", "v2", "2025-02-01")):
        bench.variants = dict(whole)
        bench.variant("old", everything, facts=QUANTIZED.model_copy(update={"weights_digest": run}))
        every = [{name: value for name, value in gate.items() if name != "variants"} for gate in GATES]
        wider = [{**every[0], "max_drop": 0.04}, *every[1:-3]]
        save(bench, suite_text(bench, wider, base="before"), run)
        bench.store.accept("s", Accepted(run=run, variant="old", promoted_at=f"{day}T00:00:00+00:00", name=label))
    bench.variants = whole
    copied = CalibrationOverlap(
        task="t", items=160, exact=2, exact_items=("t1", "t2"), copied=1, copied_items=("t3",), distance=0.4,
        calibration_words=20.0, evaluation_words=3.0,
    )  # fmt: skip
    bench.variant("q8", everything, facts=QUANTIZED, must_be_quantized=True, speed="fast")
    small = QUANTIZED.model_copy(update={"weights_digest": "q4", "bits_per_weight": 4.5})
    bench.variant("q4", everything, facts=small, must_be_quantized=True, speed="slow")
    bench.variant("fake", ["c"], must_be_quantized=True, facts=facts(weights_digest="fake"))
    bench.variant("gone", [], failure="gone: out of memory while loading")
    other = TokenDisagreement(task="t", item="t3", text="p", baseline_ids=(1, 2), variant_ids=(1, 3))
    bench.variant("other", ["t"], facts=small, token_disagreement=other, calibration=(copied,))
    bench.variants["other"] = bench.variants["other"].model_copy(update={"evaluations": {"t": bench.key("fake", "t")}})
    for name, key in (("q8", "fast"), ("q4", "slow")):
        bench.store.save_speed(_timed(speed(rng), name, key))
    text = suite_text(bench, GATES, base="before", waivers=list(WAIVERS))
    save(bench, text, "r2", base=base, reference="r1", reference_variant="old", label="v3")


def _timed(record: SpeedRecord, variant: str, key: str) -> SpeedRecord:
    """`slow`: the candidate takes the times of the baseline, and the other way round."""
    record = record.model_copy(update={"variant": variant, "key": key})
    if key == "fast":
        return record
    (workload,) = record.workloads
    pairs = tuple(TimedPair(order=e.order, baseline=e.candidate, candidate=e.baseline) for e in workload.pairs)
    return record.model_copy(
        update={"workloads": (workload.model_copy(update={"pairs": pairs}),), "memory": MemoryFigures(weight_bytes=70)}
    )


def _documents(bench: Bench, rng: np.random.Generator) -> None:
    plan, first, second = texts(rng, 24, 0.02)
    bench.plan("w", plan, kind="perplexity", metrics=())
    bench.evaluation("fp32", "w", first)
    for name, worse in (("base model", 0.3), ("old", 0.01), ("q8", 0.005), ("q4", 0.1), ("fake", 0.02)):
        records = []
        for one, other in zip(first, second, strict=True):
            assert one.document is not None
            assert other.document is not None
            assert one.document.nll is not None
            nll = one.document.nll + one.document.tokens * float(rng.normal(worse, worse / 10))
            shown = one.document if name == "base model" else other.document
            records.append(one.model_copy(update={"document": shown.model_copy(update={"nll": nll})}))
        bench.evaluation(name, "w", records)


def few(root: Path) -> None:
    """A partial run of 80 items, one of them answered with NaN by the candidate: r1."""
    bench = Bench(root)
    plan = questions("t", 80, np.random.default_rng(1), prompt="p")
    bench.plan("t", plan)

    def records(wrong: range, failed: int) -> list[ItemRecord]:
        return [
            ItemRecord(
                item=each.item, prompt_hash=each.prompt_hash,
                metrics={"acc": outcome(float("nan") if n == failed else float(n not in wrong))},
            )
            for n, each in enumerate(plan)
        ]  # fmt: skip

    bench.evaluation("fp32", "t", records(range(20), -1))
    bench.evaluation("q", "t", records(range(3, 22), 50))
    bench.variant("fp32", ["t"])
    bench.variant("q", ["t"], facts=QUANTIZED, must_be_quantized=True)
    gates = [
        {"task": "t", "metric": "acc", "max_drop": 0.06, "severity": "warn"},
        {"task": "t", "metric": "acc", "max_drop": 0.03},
        {"task": "t", "metric": "acc", "min_recovery": 0.9},
        {"task": "t", "metric": "acc", "min": 0.6},
    ]
    save(bench, suite_text(bench, gates), "r1", partial=True, limit=80)


def early(root: Path) -> None:
    """A candidate that was stopped after 96 of 400 items in clusters: r1."""
    bench = stopped(root, clusters=True)
    save(bench, suite_text(bench, [*EARLY_GATES, {"task": "t", "metric": "acc", "min": 0.3}]), "r1")


def releases(root: Path) -> None:
    """Verdicts of 24 runs with every section and hostile text: a shift of level, a partial run, another machine, other
    versions, a promoted version and a run without a verdict."""
    bench = Bench(root)
    bench.variant("fp32", [])
    for number in range(25):
        whole = example(run=f"run-{number:03d}", shift=0.001 * (number % 3) + 0.02 * (number >= 14))
        changes: dict[str, object] = {
            "started_at": f"2026-03-{1 + number:02d}T10:00:00+00:00",
            "label": f"v{number}" if number % 4 == 0 else "",
            "partial": number == 5,
            "limit": 50 if number == 5 else None,
        }
        if number >= 20:
            changes["host"] = whole.host.model_copy(update={"fingerprint": "other", "processor": "Xeon"})
        save(bench, "", whole.run, suite=whole.suite)
        if number != 22:
            bench.store.save_verdict(whole.model_copy(update=changes))
    bench.store.accept("support-bot", Accepted(run="run-002", variant="int8", promoted_at=NOW, name="v2"))


SCRIPTED_GATES: Gates = (
    {"task": "ask", "metric": "acc", "max_drop": 0.1},
    {"task": "ask", "metric": "acc_norm", "max_relative_drop": "20%", "slice": "each"},
    {"task": "say", "metric": "exact_match", "max_drop": 0.3, "against": "reference"},
    {"task": "say", "metric": "f1", "min_recovery": "90%"},
    {"task": "read", "metric": "perplexity", "max_increase": "5%"},
    {"task": "read", "metric": "perplexity", "min_retained": "80%"},
    {"task": "read", "metric": "kl_mean", "max": 0.05},
    {"task": "known", "metric": "acc", "min": 0.2, "on": "baseline"},
    {"task": "chat", "metric": "exact_match", "max_drop": 0.02},
    {"metric": "decode_tokens_per_s", "min_ratio": 0.5},
    {"metric": "weight_bytes", "max_ratio": 0.6},
)
LM_EVAL = """\
task: known
dataset_path: json
dataset_kwargs: {cache_dir: cache, data_files: {train: data/rows.jsonl, test: data/rows.jsonl}}
training_split: train
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{options}}"
doc_to_target: "{{answer}}"
num_fewshot: 1
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""


def scripted(folder: Path) -> Path:
    """A suite of every kind of task for the scripted engine, with its data: what keys and plans are made from."""
    data = folder / "data"
    data.mkdir(parents=True)
    rows = [
        {
            "id": f"q{n}", "question": f"Question {n}, which is {'long ' * (n % 7)}?", "topic": "ab"[n % 2],
            "group": f"g{n // 3}", "talk": [{"role": "user", "content": f"Say {n}."}],
            "options": ["yes", "no", "maybe"], "answer": n % 3,
        }
        for n in range(150)
    ]  # fmt: skip
    documents = [{"id": f"d{n}", "text": f"Document {n} of few words. " * (5 + n)} for n in range(16)]
    shots = [{**rows[n], "question": f"Example {n}?"} for n in range(4)]
    for name, lines in (("rows", rows), ("shots", shots), ("texts", documents)):
        (data / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (data / "known.yaml").write_text(LM_EVAL)
    choice = {
        "data": "data/rows.jsonl", "prompt": "{{question}}", "choices": "{{options}}", "answer": "{{answer}}",
        "few_shot": "data/shots.jsonl", "num_few_shot": 2,
    }  # fmt: skip
    generate = {
        "data": "data/rows.jsonl", "prompt": "{{question}}", "answer": "{{options[answer]}}", "max_new_tokens": 4,
        "until": ["\n"],
    }  # fmt: skip
    talk = {
        "data": "data/rows.jsonl", "messages": "{{talk}}", "answer": "{{options[answer]}}", "max_new_tokens": 3,
    }  # fmt: skip
    suite = {
        "suite": "every-kind",
        "model": "none",
        "base": {"path": "before", "script": {"shift": 0.5, "seed": 3}},
        "variants": {
            "full": {"engine": "scripted", "baseline": True, "script": {"unsteady": 0.1}},
            "small": {
                "engine": "scripted",
                "quantized": True,
                "script": {"quantized_modules": 12, "noise": 0.05, "shift": 0.01},
            },
        },
        "tasks": {
            "ask": {"choice": choice, "id": "id", "slice_by": ["topic"], "cluster_by": "group"},
            "say": {"generate": {**generate, "metric": ["exact_match", "f1"]}, "id": "id"},
            "chat": {"generate": talk, "id": "id"},
            "read": {"perplexity": {"data": "data/texts.jsonl", "window": 64}, "id": "id"},
            "known": {"lm_eval": "data/known.yaml"},
        },
        "speed": {"workloads": [{"batch": 1, "prompt_tokens": 8, "new_tokens": 4}], "pairs": 6},
        "gates": list(SCRIPTED_GATES),
        "waivers": [{"gate": "ask/acc/max_drop", "variant": "small", "reason": "r", "by": "A", "until": "2999-01-01"}],
    }
    path = folder / "suite.yaml"
    path.write_text(json.dumps(suite, indent=1))
    return path
