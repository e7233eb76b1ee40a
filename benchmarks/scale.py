"""How long compare, gate and report take, and how much memory, over stored runs of 10^4, 10^5 and 10^6 items.

The same questions are also written as lm-eval writes them with `--log_samples`, and `quantgate import` is timed on both
sides' files: reading, storing, judging and reporting.

Writes runs as `quantgate run` would have left them (a choice task with two metrics and a small perplexity task, answers
in the manner of the scripted engine), through the store's own functions, into a temporary folder; then runs each
command of the real command line as a process of its own. The model is never part of it.

    python benchmarks/scale.py [--sizes 10000 100000 1000000] [--json FILE]
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import ExitCode
from harness.planning.batching import MOST_ITEMS
from harness.records.evaluation_manifest import EngineFacts, EvaluationManifest, Host, Identity, evaluation_key
from harness.records.items import DocumentScore, ItemRecord, OptionAnswer, PlannedItem, Scored
from harness.records.run_manifest import RunManifest, TaskRun, VariantRun
from harness.records.store import Store

SIZES = (10_000, 100_000, 1_000_000)
COMMANDS = ("compare", "gate", "report")
IMPORT = "import"
VERDICTS = {int(code) for code in (ExitCode.PASS, ExitCode.FAIL, ExitCode.INCONCLUSIVE)}
OPTIONS = ("yes", "no", "maybe")
TOPICS = ("billing", "delivery", "returns", "account", "privacy", "hardware", "software", "other")
NOISE = 0.05
"""Share of items whose likelihoods the candidate moves."""
KNOWS = 8
"""How many times nearer to 0 the right option's log-likelihood is: a model at chance could be certified nothing."""
DOCUMENTS, DOCUMENT_TOKENS = 40, 256
DATE = "2026-01-01T00-00-00.000000"
NOW = "2026-01-01T00:00:00+00:00"
HOST = Host(fingerprint="h", system="s", machine="m", processor="p", cores=2, memory_bytes=1, python="3")
SUITE: dict[str, Any] = {
    "suite": "scale",
    "model": "none",
    "variants": {
        "full": {"engine": "scripted", "baseline": True, "script": {}},
        "small": {"engine": "scripted", "quantized": True, "script": {"noise": NOISE}},
    },
    "tasks": {
        "ask": {
            "choice": {"data": "ask.jsonl", "prompt": "{{text}}", "choices": list(OPTIONS), "answer": "{{answer}}"},
            "slice_by": ["topic"],
        },
        "read": {"perplexity": {"data": "read.jsonl"}},
    },
    "gates": [
        {"task": "ask", "metric": "acc", "max_drop": 0.02},
        {"task": "ask", "metric": "acc", "max_drop": 0.05, "slice": "each"},
        {"task": "ask", "metric": "acc_norm", "min_recovery": "97%"},
        {"task": "read", "metric": "perplexity", "max_increase": "2%"},
        {"task": "read", "metric": "kl_mean", "max": 0.02, "severity": "warn"},
    ],
}


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command over one stored run."""

    name: str
    seconds: float
    peak_bytes: int
    """Of its process's resident memory."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All commands over the stored run of one size."""

    items: int
    stored_bytes: int
    report_bytes: int
    commands: tuple[Command, ...]
    imported: Command
    """`quantgate import` of both sides' files."""
    files_bytes: int
    """Of those files."""

    @property
    def seconds(self) -> float:
        return sum(command.seconds for command in self.commands)


# -- the stored run


def build(root: Path, items: int) -> None:
    """Write a run with `items` questions and `DOCUMENTS` documents: plans, two variants' evaluations, manifest."""
    store = Store(root)
    store.save_plan("plan-ask", (question(number) for number in range(items)))
    store.save_plan("plan-read", [document(number) for number in range(DOCUMENTS)])
    for variant in ("full", "small"):
        evaluate(store, variant, "ask", answers(variant, items))
        evaluate(store, variant, "read", iter([readings(variant)]))
    tasks = [task_run("ask", items, metrics=("acc", "acc_norm")), task_run("read", DOCUMENTS, metrics=())]
    manifest = RunManifest(
        run=f"scale-{items}", suite="scale", suite_file="scale.yaml", suite_hash="",
        suite_text=json.dumps(SUITE, indent=1),  # JSON is YAML
        baseline="full", variants={name: variant_run(name) for name in ("full", "small")},
        tasks={task.task: task for task in tasks}, host=HOST, quantgate="0", started_at=NOW, elapsed_s=1.0,
    )  # fmt: skip
    store.save_run(manifest)


def question(number: int) -> PlannedItem:
    text = f"Customer {number} writes about {TOPICS[number % len(TOPICS)]}. " * 4 + "Can this be answered at once?"
    return PlannedItem(
        item=f"q{number}",
        index=number,
        prompt_hash=prompt_hash("ask", number),
        prompt=text,
        options=OPTIONS,
        expected=OPTIONS[number % len(OPTIONS)],
        slices={"topic": TOPICS[number % len(TOPICS)]},
        tokens=len(text),
    )


def document(number: int) -> PlannedItem:
    return PlannedItem(
        item=f"d{number}", index=number, prompt_hash=prompt_hash("read", number), prompt=f"Document {number}.",
        tokens=DOCUMENT_TOKENS, bytes=DOCUMENT_TOKENS,
    )  # fmt: skip


def prompt_hash(task: str, number: int) -> str:
    return hashlib.sha256(f"{task} {number}".encode()).hexdigest()


def answers(variant: str, items: int) -> Iterator[list[ItemRecord]]:
    """Chunks of choice records; the candidate's likelihoods are the baseline's but for a share of `NOISE`."""
    lengths = np.asarray([len(option) for option in OPTIONS])
    for start in range(0, items, MOST_ITEMS):
        numbers = np.arange(start, min(start + MOST_ITEMS, items))
        source = np.random.default_rng(start)
        likelihoods = -4 * lengths * source.random((numbers.size, lengths.size))
        likelihoods[np.arange(numbers.size), numbers % lengths.size] /= KNOWS
        moved = source.random(numbers.size) < NOISE
        if variant == "small":
            likelihoods[moved] = -4 * lengths * source.random((moved.sum(), lengths.size))
        right = numbers % lengths.size
        acc = likelihoods.argmax(axis=1) == right
        acc_norm = (likelihoods / lengths).argmax(axis=1) == right
        yield [
            ItemRecord(
                item=f"q{number}",
                prompt_hash=prompt_hash("ask", number),
                options=tuple(
                    OptionAnswer(log_likelihood=value, tokens=int(length), greedy=False)
                    for value, length in zip(values, lengths, strict=True)
                ),
                metrics={"acc": Scored(value=float(hit)), "acc_norm": Scored(value=float(hit_norm))},
            )
            for number, values, hit, hit_norm in zip(numbers.tolist(), likelihoods.tolist(), acc, acc_norm, strict=True)
        ]


def readings(variant: str) -> list[ItemRecord]:
    """One chunk of document scores; the candidate's with a divergence."""
    source = np.random.default_rng(7)
    records = []
    for number in range(DOCUMENTS):
        nll, kl = float(3 * DOCUMENT_TOKENS + source.normal()), source.exponential(0.01, DOCUMENT_TOKENS)
        score = DocumentScore(nll=nll, tokens=DOCUMENT_TOKENS)
        if variant == "small":
            score = DocumentScore(
                nll=nll + 0.01 * DOCUMENT_TOKENS,
                tokens=DOCUMENT_TOKENS,
                kl=float(kl.sum()),
                top1_agree=DOCUMENT_TOKENS - 3,
                delta_p=-0.1,
                delta_p_squared=0.01,
                kl_values=base64.b64encode(kl.astype("<f4").tobytes()).decode(),
            )
        records.append(
            ItemRecord(item=f"d{number}", prompt_hash=prompt_hash("read", number), document=score, metrics={})
        )
    return records


def evaluate(store: Store, variant: str, task: str, records: Iterator[list[ItemRecord]]) -> None:
    """Append the chunks and declare the evaluation complete."""
    key = evaluation_key(identity_of(variant, task))
    chunks, items = store.chunks(key), 0
    for chunk in records:
        chunks.append(chunk)
        items += len(chunk)
    manifest = EvaluationManifest(
        key=key, identity=identity_of(variant, task), variant=variant, task=task, items=items,
        chunks=len(chunks.digests), digest=chunks.digest(), facts=facts(variant), host=HOST, started_at=NOW,
        elapsed_s=1.0,
    )  # fmt: skip
    store.complete(manifest)


def identity_of(variant: str, task: str) -> Identity:
    return Identity(
        weights=variant, quantization="", tokenizer="t", requests=f"plan-{task}", engine="scripted", versions={},
        dtype="float32", device_type="cpu", batching="b",
    )  # fmt: skip


def facts(variant: str) -> EngineFacts:
    modules = 12 if variant == "small" else 0
    return EngineFacts(
        engine="scripted", architecture="Scripted", model_type="scripted", parameters=1000, dtype="float32",
        device="cpu", linear_modules=12, quantized_modules=modules, bits_per_weight=8.0 if modules else 32.0,
        weights_digest=variant,
    )  # fmt: skip


def variant_run(name: str) -> VariantRun:
    evaluations = {task: evaluation_key(identity_of(name, task)) for task in ("ask", "read")}
    return VariantRun(variant=name, evaluations=evaluations, facts=facts(name), must_be_quantized=name == "small")


def task_run(task: str, items: int, *, metrics: tuple[str, ...]) -> TaskRun:
    return TaskRun(
        task=task, plan=f"plan-{task}", kind="choice" if metrics else "perplexity", items=items, tokens=0, too_long=0,
        metrics=metrics, source="made by benchmarks/scale.py",
    )  # fmt: skip


# -- the same questions as lm-eval's files


def write_files(folder: Path, items: int) -> None:
    """Both variants' results and samples of the choice task, as lm-eval 0.4.13 writes them."""
    for variant in ("full", "small"):
        (folder / variant).mkdir(parents=True)
        right = {"acc": 0.0, "acc_norm": 0.0}
        with (folder / variant / f"samples_ask_{DATE}.jsonl").open("w") as stream:
            questions = (question(number) for number in range(items))
            records = (record for chunk in answers(variant, items) for record in chunk)
            for number, (planned, record) in enumerate(zip(questions, records, strict=True)):
                line = sample(number, planned, record)
                for name in right:
                    right[name] += line[name]
                stream.write(json.dumps(line) + "\n")
        results = {
            "results": {"ask": {f"{name},none": total / items for name, total in right.items()}},
            "configs": {"ask": {"output_type": "multiple_choice", "target_delimiter": " "}},
            "versions": {"ask": 1.0}, "n-shot": {"ask": 0}, "n-samples": {"ask": {"effective": items}},
            "higher_is_better": {"ask": dict.fromkeys(right, True)}, "config": {"model": "hf", "model_args": variant},
            "model_name": variant, "lm_eval_version": "0.4.13",
        }  # fmt: skip
        (folder / variant / f"results_{DATE}.json").write_text(json.dumps(results))
    gates = [each for each in SUITE["gates"] if each["task"] == "ask"]
    tasks = {"ask": {"imported": "ask", "slice_by": ["topic"]}}
    (folder / "gates.yaml").write_text(f"tasks: {json.dumps(tasks)}\ngates: {json.dumps(gates)}\n")


def sample(number: int, planned: PlannedItem, record: ItemRecord) -> dict[str, Any]:
    """A line of a samples file."""
    scored = [[str(option.log_likelihood), "False"] for option in record.options]
    return {
        "doc_id": number,
        "doc": {"text": planned.prompt, "topic": planned.slices["topic"]},
        "target": str(number % len(OPTIONS)),
        "arguments": {
            f"gen_args_{place}": {"arg_0": planned.prompt, "arg_1": f" {option}"}
            for place, option in enumerate(OPTIONS)
        },
        "resps": [[pair] for pair in scored],
        "filtered_resps": scored,
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        **{f"{name}_hash": prompt_hash(name, number) for name in ("doc", "prompt", "target")},
        **{name: outcome.value for name, outcome in record.metrics.items() if isinstance(outcome, Scored)},
    }


# -- the measurement


def measure(folder: Path, items: int) -> Measured:
    """Build the run of `items` items in a process of its own, then time every command over it."""
    results, reports = folder / "results", folder / "reports"
    apart(build, results, items)
    commands = tuple(timed([name, "latest"], results, None if name == "compare" else reports) for name in COMMANDS)
    files = folder / "files"
    apart(write_files, files, items)
    named = [IMPORT, "lm-eval", str(files / "full"), str(files / "small"), "--gates", str(files / "gates.yaml")]
    imported = timed(named, folder / "imported", folder / "imported-reports")
    return Measured(
        items=items,
        imported=imported,
        files_bytes=sum(path.stat().st_size for path in files.rglob("*") if path.is_file()),
        stored_bytes=sum(path.stat().st_size for path in results.rglob("*") if path.is_file()),
        report_bytes=sum(path.stat().st_size for path in reports.rglob("report.html")),
        commands=commands,
    )


def apart(target: Callable[[Path, int], None], folder: Path, items: int) -> None:
    """Spawned, and joined before anything is timed: a child's peak memory begins with what its parent holds."""
    builder = multiprocessing.get_context("spawn").Process(target=target, args=(folder, items))
    builder.start()
    builder.join()
    if builder.exitcode != 0:
        raise SystemExit(f"the run of {items} items could not be written (exit code {builder.exitcode})")


def timed(command: list[str], results: Path, reports: Path | None) -> Command:
    """One command of the real command line, from start to exit."""
    name = command[0]
    arguments = [sys.executable, "-m", "harness", *command, "--results", str(results)]
    if reports is not None:
        arguments += ["--reports", str(reports)]
    began = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in VERDICTS:
        raise SystemExit(f"quantgate {name} ended with exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Command(name=name, seconds=seconds, peak_bytes=usage.ru_maxrss * unit)


def table(measured: list[Measured]) -> str:
    """Seconds and peak memory of each command, the report's size, and time per item beside the size before."""
    lines = [
        f"{'items':>9}  {'stored':>8}  "
        + "  ".join(f"{name:>17}" for name in COMMANDS)
        + f"  {'together':>8}  {'report':>7}  {'per item':>9}  {'ratio':>5}  {'files':>8}  {IMPORT:>17}"
    ]
    before: float | None = None
    for each in measured:
        per_item = each.seconds / each.items
        cells = "  ".join(map(cell, each.commands))
        lines.append(
            f"{each.items:>9,}  {each.stored_bytes / 1e6:>5.0f} MB  {cells}  {each.seconds:>6.2f} s  "
            f"{each.report_bytes / 1e3:>4.0f} kB  {1e6 * per_item:>6.1f} µs  "
            + ("    –" if before is None else f"{per_item / before:>5.2f}")
            + f"  {each.files_bytes / 1e6:>5.0f} MB  {cell(each.imported)}"
        )
        before = per_item
    return "\n".join(lines)


def cell(command: Command) -> str:
    return f"{command.seconds:6.2f} s {command.peak_bytes / 1e6:6.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="items of the choice task")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    measured = []
    for items in sorted(arguments.sizes):
        print(f"{items:,} items …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="quantgate-scale-") as folder:
            measured.append(measure(Path(folder), items))
    print(table(measured))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(each) for each in measured], indent=1) + "\n")


if __name__ == "__main__":
    main()
