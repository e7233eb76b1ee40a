"""The items of a run as lm-eval writes its own: `results_<date>.json` and `samples_<task>_<date>.jsonl` a variant.

Hashes are lm-eval's, over what the files hold: `doc_hash` over `doc`, `prompt_hash` over the first request's prompt,
`target_hash` over `target`. What is not stored is not made up: `doc` is the planned item instead of the data set's row,
generation settings are empty, and the answer behind a filter that cut it out of a text is null. An item without a score
has NaN, as lm-eval writes it, never 0.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.exports.new_folder import new_folder
from harness.exports.variant_answers import VariantAnswers, answers_of, variants_of
from harness.metrics.table import counting, likelihood
from harness.notation import count
from harness.records.items import ItemRecord, PlannedItem, Scored
from harness.records.run_manifest import RunManifest, TaskRun, VariantRun
from harness.records.store import Store
from harness.shown import json_text

Value = float | list[float]
Line = dict[str, object]
"""One line of a samples file."""
NO_FILTER = "none"
"""lm-eval's name for scoring an answer as it is."""
OF_DOCUMENTS = counting("byte")
"""lm-eval's measures of a document, each stored as [log-likelihood, bytes]."""


@dataclass(frozen=True, kw_only=True)
class _Written:
    """What a task's samples file holds, for the results file."""

    facts: TaskRun
    kind: str
    metrics: Mapping[str, str | float]
    hash: str
    lines: int
    """Items, not lines: there is a line for each filter."""


def write(store: Store, manifest: RunManifest, folder: Path, *, task: str | None) -> tuple[str, ...]:
    """Write a folder of this form for every variant with answers. Returns what to say about it, for people.

    Raises `UsageError` for a folder that is not empty, `RecordError` for a damaged store and a full disk.
    """
    notes = []
    with new_folder(folder) as top:
        for variant in variants_of(manifest):
            names = [name for name in manifest.tasks if task in (None, name) and name in variant.answered]
            if not names:
                notes.append(f"{variant.variant}: no answers, so nothing was written")
                continue
            inside = re.sub(r"[\"<>:/|\\?*\[\]]+", "__", variant.variant)  # lm-eval's sanitize_model_name
            (top / inside).mkdir()
            written = {}
            for name in names:
                answers = answers_of(store, manifest, variant, name)
                assert answers is not None
                written[name] = _write_samples(top / inside / f"samples_{name}_{_date(manifest)}.jsonl", answers)
            whole = json.dumps(_results(manifest, variant, written), indent=2, ensure_ascii=False)
            (top / inside / f"results_{_date(manifest)}.json").write_text(json_text(whole), encoding="utf-8")
            notes.append(f"{variant.variant}: {folder / inside}, {count(len(names), 'task')}")
    return tuple(notes)


def _date(manifest: RunManifest) -> str:
    """When the run began, as lm-eval puts it into names."""
    began = datetime.fromisoformat(manifest.started_at).astimezone(UTC).replace(tzinfo=None)
    return began.isoformat(timespec="microseconds").replace(":", "-")


def _write_samples(path: Path, answers: VariantAnswers) -> _Written:
    """Filter by filter, each over all items, as lm-eval does."""
    digest, lines = hashlib.sha256(), 0
    values: dict[str, list[Value]] = {}
    with path.open("w", encoding="utf-8") as stream:
        for filter_name, names in _filters(answers.task).items():
            lines = 0
            for planned, record in answers:
                line = sample_line(answers.task, planned, record, filter_name=filter_name, metrics=names)
                stream.write(json_text(json.dumps(line, ensure_ascii=False)) + "\n")
                digest.update("".join(str(line[f"{part}_hash"]) for part in ("doc", "prompt", "target")).encode())
                lines += 1
                for name in names:
                    value = line[name]
                    assert isinstance(value, float | list)
                    values.setdefault(f"{name},{filter_name}", []).append(value)
    kind = _output_type(answers)
    figures: dict[str, str | float] = {}
    for key, found in values.items():
        name, _, filter_name = key.partition(",")
        figures[key], figures[f"{name}_stderr,{filter_name}"] = _aggregate(name, found)
    return _Written(facts=answers.task, kind=kind, metrics=figures, hash=digest.hexdigest(), lines=lines)


def _filters(task: TaskRun) -> dict[str, tuple[str, ...]]:
    """Filter to its metrics, from our `metric` and `metric,filter`."""
    if task.kind == "perplexity":
        return {NO_FILTER: OF_DOCUMENTS}
    found: dict[str, tuple[str, ...]] = {}
    for metric in task.metrics:
        name, _, filter_name = metric.partition(",")
        key = filter_name or NO_FILTER
        found[key] = (*found.get(key, ()), name)
    return found


def sample_line(
    task: TaskRun, planned: PlannedItem, record: ItemRecord, *, filter_name: str, metrics: Sequence[str]
) -> Line:
    """One line: an item under one filter."""
    doc, target, arguments = _doc(planned), _target(planned), _arguments(task, planned)
    resps, first = _responses(task, planned, record)
    values = {name: _value(planned, record, name, filter_name) for name in metrics}
    return {
        "doc_id": planned.index,
        "doc": doc,
        "target": target,
        "arguments": {
            f"gen_args_{place}": {f"arg_{position}": part for position, part in enumerate(parts)}
            for place, parts in enumerate(arguments)
        },
        "resps": resps,
        "filtered_resps": first if filter_name == NO_FILTER else [None] * len(resps),
        "filter": filter_name,
        "metrics": list(metrics),
        "doc_hash": _sha256(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _sha256(planned.prompt),
        "target_hash": _sha256(target),
        **values,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _doc(planned: PlannedItem) -> dict[str, object]:
    return {
        "id": planned.item,
        "prompt": planned.prompt,
        "choices": list(planned.options),
        "answer": planned.expected,
        "slices": planned.slices,
        "cluster": planned.cluster,
        "requests_sha256": planned.prompt_hash,
    }


def _target(planned: PlannedItem) -> str:
    """The right option's place, as lm-eval's multiple choice has it; otherwise the reference."""
    if planned.expected in planned.options:
        return str(planned.options.index(planned.expected))
    return planned.expected


def _arguments(task: TaskRun, planned: PlannedItem) -> list[tuple[object, ...]]:
    if task.kind == "choice":
        return [(planned.prompt, option) for option in planned.options or (planned.expected,)]
    return [(planned.prompt,)] if task.kind == "perplexity" else [(planned.prompt, {})]


def _responses(task: TaskRun, planned: PlannedItem, record: ItemRecord) -> tuple[list[object], list[object]]:
    """Per request its responses, and the first of each; texts, as lm-eval turns them into such. Without a record of
    them, NaN for a likelihood and no response for a text."""
    if task.kind == "choice":
        found = [[_number(each.log_likelihood), str(each.greedy)] for each in record.options]
        pairs = found or [["nan", "False"] for _ in planned.options or (planned.expected,)]
        return [[pair] for pair in pairs], list(pairs)
    if task.kind == "perplexity":
        nll = None if record.document is None else record.document.nll
        likelihood = _number(None if nll is None else -nll)
        return [[likelihood]], [likelihood]
    texts = [each.text for each in record.answers]
    return [texts], [texts[0] if texts else None]


def _number(value: float | None) -> str:
    return "nan" if value is None else str(value)


def _value(planned: PlannedItem, record: ItemRecord, name: str, filter_name: str) -> Value:
    if record.document is not None or name in OF_DOCUMENTS:
        nll = None if record.document is None else record.document.nll
        return [math.nan if nll is None else -nll, float(planned.bytes)]
    found = record.metrics.get(name if filter_name == NO_FILTER else f"{name},{filter_name}")
    return found.value if isinstance(found, Scored) else math.nan


def _aggregate(name: str, values: Sequence[Value]) -> tuple[float, str | float]:
    """Value and standard error by lm-eval's definitions (`api/metrics.py`)."""
    pairs = [each for each in values if isinstance(each, list)]
    if pairs:
        size = math.fsum(pair[1] for pair in pairs)
        mean = math.fsum(pair[0] for pair in pairs) / size if size else math.nan
        return (math.exp(-mean) if likelihood(name).exponential else -mean / math.log(2)), "N/A"
    plain = [each for each in values if isinstance(each, float)]
    mean = math.fsum(plain) / len(plain) if plain else math.nan
    if len(plain) < 2 or math.isnan(mean):
        return mean, "N/A"
    return mean, statistics.stdev(plain) / math.sqrt(len(plain))


def _output_type(answers: VariantAnswers) -> str:
    """lm-eval's name for what was asked."""
    if answers.task.kind != "choice":
        return "loglikelihood_rolling" if answers.task.kind == "perplexity" else "generate_until"
    first = next(iter(answers), None)
    return "loglikelihood" if first is not None and len(first[0].options) < 2 else "multiple_choice"


def _results(manifest: RunManifest, variant: VariantRun, written: Mapping[str, _Written]) -> dict[str, object]:
    facts = variant.facts
    return {
        "results": {
            name: {"name": name, "alias": name, "sample_len": each.lines, **each.metrics}
            for name, each in written.items()
        },
        "group_subtasks": {name: [] for name in written},
        "configs": {name: _config(each) for name, each in written.items()},
        "versions": {name: each.facts.plan[:12] for name, each in written.items()},
        "n-shot": {},
        "higher_is_better": {name: _directions(each.facts) for name, each in written.items()},
        "n-samples": {name: {"original": each.facts.items, "effective": each.lines} for name, each in written.items()},
        "config": {
            "model": "quantgate",
            "model_args": {"run": manifest.run, "suite": manifest.suite, "variant": variant.variant},
            "model_num_parameters": None if facts is None else facts.parameters,
            "model_dtype": None if facts is None else facts.dtype,
            "batch_size": None,
            "device": None if facts is None else facts.device,
            "limit": manifest.limit,
            "gen_kwargs": None,
        },
        "date": datetime.fromisoformat(manifest.started_at).timestamp(),
        "quantgate_version": manifest.quantgate,
        "task_hashes": {name: each.hash for name, each in written.items()},
        "model_source": "quantgate",
        "model_name": variant.variant,
        "model_name_sanitized": variant.variant,
        "total_evaluation_time_seconds": str(manifest.elapsed_s),
    }


def _config(written: _Written) -> dict[str, object]:
    filters = _filters(written.facts)
    directions = _directions(written.facts)
    config: dict[str, object] = {
        "task": written.facts.task,
        "output_type": written.kind,
        "metric_list": [
            {
                "metric": name,
                "aggregation": _aggregation(name) if written.facts.kind == "perplexity" else "mean",
                "higher_is_better": higher,
            }
            for name, higher in directions.items()
        ],
        "metadata": {"version": written.facts.plan[:12], "source": written.facts.source},
    }
    if set(filters) != {NO_FILTER}:
        config["filter_list"] = [{"name": name} for name in filters]
    return config


def _aggregation(name: str) -> str:
    return "weighted_perplexity" if likelihood(name).exponential else name  # as lm-eval calls its aggregations


def _directions(task: TaskRun) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for name, filter_name in _pairs(task):
        metric = name if filter_name == NO_FILTER else f"{name},{filter_name}"
        found[name] = task.kind != "perplexity" and metric not in task.lower_is_better
    return found


def _pairs(task: TaskRun) -> Iterator[tuple[str, str]]:
    for filter_name, names in _filters(task).items():
        for name in names:
            yield name, filter_name
