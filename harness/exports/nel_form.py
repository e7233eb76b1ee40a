"""The items of a run as `nel compare` and `nel gate` read them: `results.jsonl` beside an `eval-*.json` bundle.

That form has one reward per problem, of which more is better. So a task with several metrics becomes several
benchmarks, and what has no such number is left out and named: documents, and metrics of which less is better. An item
without a score has NaN and its error, never 0; several answers to one question are one problem with their mean.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.exports.new_folder import new_folder
from harness.exports.variant_answers import VariantAnswers, answers_of, variants_of
from harness.notation import count
from harness.records.items import Failed, ItemRecord, PlannedItem, Scored, TextAnswer
from harness.records.run_manifest import RunManifest, TaskRun
from harness.records.store import Store
from harness.shown import json_text

CATEGORY = "category"
"""The field of an item's metadata by which NeMo Evaluator groups."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One metric of one task."""

    name: str
    task: str
    metric: str

    @property
    def folder(self) -> str:
        return re.sub(r"[^a-zA-Z0-9_.-]", "_", self.name)


def write(store: Store, manifest: RunManifest, folder: Path, *, task: str | None) -> tuple[str, ...]:
    """Write a folder of this form for every variant with answers. Returns what to say about it, for people.

    Raises `UsageError` where nothing fits the form and for a folder that is not empty, `RecordError` for a damaged
    store and a full disk.
    """
    tasks = [facts for name, facts in manifest.tasks.items() if task in (None, name)]
    benchmarks, notes = _benchmarks(tasks)
    if not benchmarks:
        raise UsageError(f"--format nel: nothing in run {manifest.run} has a reward per item: {'; '.join(notes)}")
    with new_folder(folder) as top:
        for variant in variants_of(manifest):
            written = 0
            for benchmark in benchmarks:
                answers = answers_of(store, manifest, variant, benchmark.task)
                if answers is not None:
                    inside = top / variant.variant / benchmark.folder
                    inside.mkdir(parents=True)
                    _write_benchmark(inside, manifest, benchmark, answers)
                    written += 1
            if written:
                notes.append(f"{variant.variant}: {folder / variant.variant}, {count(written, 'benchmark')}")
            else:
                notes.append(f"{variant.variant}: no answers, so nothing was written")
    return tuple(notes)


def _benchmarks(tasks: list[TaskRun]) -> tuple[list[Benchmark], list[str]]:
    """What is written, and notes on what is not."""
    found: dict[str, Benchmark] = {}
    notes = []
    for task in tasks:
        if task.kind == "perplexity":
            notes.append(f"{task.task}: left out; documents have no reward")
            continue
        for metric in task.metrics:
            if metric in task.lower_is_better:
                notes.append(f"{task.task}, {metric}: left out; less of it is better, of a reward more is")
                continue
            name = task.task if len(task.metrics) == 1 else f"{task.task}.{metric}"
            each = Benchmark(name=name, task=task.task, metric=metric)
            other = found.setdefault(each.folder.casefold(), each)
            if other is not each:
                raise UsageError(
                    f"--format nel: {other.task} ({other.metric}) and {each.task} ({each.metric}) would both be "
                    f"{each.folder}; write one of them with --task"
                )
    return list(found.values()), notes


def _write_benchmark(folder: Path, manifest: RunManifest, benchmark: Benchmark, answers: VariantAnswers) -> None:
    rewards: list[float] = []
    problems = repeats = 0
    categories: dict[str, list[float]] = {}
    with (folder / "results.jsonl").open("w", encoding="utf-8") as stream:
        for planned, record in answers:
            category = _category(planned)
            lines = _lines(planned, record, benchmark, first=answers.task.metrics[0])
            for line, reward in lines:
                stream.write(json_text(json.dumps(line, ensure_ascii=False)) + "\n")
                rewards.append(reward)
                if category is not None:
                    categories.setdefault(category, []).append(reward)
            problems, repeats = problems + 1, max(repeats, len(lines))
    config = {"benchmark": benchmark.name, "model": answers.variant.variant, "repeats": repeats}
    kind = "pass@1" if set(rewards) <= {0.0, 1.0} else "mean_reward"
    bundle = {
        "run_id": f"eval-{manifest.run}-{benchmark.folder}",
        "config_hash": f"sha256:{hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()}",
        "sdk_version": f"quantgate {manifest.quantgate}",
        "timestamp": manifest.started_at,
        "config": {**config, "run": manifest.run, "suite": manifest.suite, "plan": answers.task.plan},
        "benchmark": {
            "name": benchmark.name,
            "samples": problems,
            "repeats": repeats,
            "scores": {kind: {"value": _mean(rewards)}},
            "categories": {
                name: {"mean_reward": _mean(values), "n": len(values)} for name, values in categories.items()
            },
        },
        "n_results": len(rewards),
    }
    whole = json_text(json.dumps(bundle, indent=2, ensure_ascii=False))
    (folder / f"{bundle['run_id']}.json").write_text(whole, encoding="utf-8")


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _reward(record: ItemRecord, metric: str) -> float:
    found = record.metrics.get(metric)
    return found.value if isinstance(found, Scored) else math.nan


def _category(planned: PlannedItem) -> str | None:
    """The slice that NeMo Evaluator breaks results down by: the field of that name, or the only one."""
    if CATEGORY in planned.slices:
        return planned.slices[CATEGORY]
    return next(iter(planned.slices.values())) if len(planned.slices) == 1 else None


def _lines(
    planned: PlannedItem, record: ItemRecord, benchmark: Benchmark, *, first: str
) -> list[tuple[dict[str, object], float]]:
    """A line for each answer where each has its own score, which is stored for the task's first metric; else one line
    with their mean, as `nel compare` makes of several. Each with its reward."""
    scores = [answer.score for answer in record.answers if answer.score is not None]
    if benchmark.metric == first and 1 < len(scores) == len(record.answers):
        each = zip(record.answers, scores, strict=True)
        return [
            (_line(planned, record, benchmark, answer) | {"repeat": place, "reward": score}, score)
            for place, (answer, score) in enumerate(each)
        ]
    reward = _reward(record, benchmark.metric)
    line = _line(planned, record, benchmark, record.answers[0] if record.answers else None) | {"reward": reward}
    return [(line | ({"_aggregated_from_repeats": len(record.answers)} if record.repeats else {}), reward)]


def _line(
    planned: PlannedItem, record: ItemRecord, benchmark: Benchmark, answer: TextAnswer | None
) -> dict[str, object]:
    category = _category(planned)
    failed = record.metrics.get(benchmark.metric)
    details: dict[str, object] = {"metric": benchmark.metric, "prompt_sha256": planned.prompt_hash}
    if isinstance(failed, Failed):
        details["error"] = failed.error
    if record.options:
        details["options"] = list(planned.options)
        details["log_likelihoods"] = [each.log_likelihood for each in record.options]
    line: dict[str, object] = {
        "problem_idx": planned.index,
        "repeat": 0,
        "reward": math.nan,
        "prompt": planned.prompt,
        "model_response": answer.text if answer is not None else _chosen(planned, record),
        "expected_answer": planned.expected,
        "scoring_details": details,
        "metadata": {**planned.slices, **({} if category is None else {CATEGORY: category})},
        "item": planned.item,
        "cluster": planned.cluster,
    }
    if answer is not None and answer.tokens is not None:
        line["tokens"] = answer.tokens
    return line


def _chosen(planned: PlannedItem, record: ItemRecord) -> str:
    """The option with the best log-likelihood, the first of several; empty where one has none."""
    likelihoods = [each.log_likelihood for each in record.options if each.log_likelihood is not None]
    if not likelihoods or len(likelihoods) < len(planned.options):
        return ""
    return planned.options[likelihoods.index(max(likelihoods))]
