"""Rules between the parts of a suite: gates against tasks, metrics and variants. Pure; reads no file.

Warns of gates against the last promoted version that have no gate against the full-precision model beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.engines.registry import takers
from harness.forms import FORMS, fitting
from harness.methods import METHODS
from harness.metrics.corpus import COMPANIONS
from harness.metrics.row import Metric, OfTexts, OptionScore, StoredBytes
from harness.metrics.table import METRICS, computed_by, derived, lookup, of_kind, of_options
from harness.suite.gate_model import Gate
from harness.suite.imported_suites import import_problems
from harness.suite.metric_names import elsewhere
from harness.suite.metrics_asked import asked_for, code_of, metrics_of, unscored
from harness.suite.models import Suite
from harness.suite.names import nearest
from harness.suite.several_answers import noise_limit, several_answers, several_answers_of_lm_eval
from harness.suite.task_model import Choice, Generate, Task
from harness.suite.variant_model import Variant
from harness.suite.waivers import waiver_problems

Place = tuple[str | int, ...]
Found = Iterator[tuple[Place, str]]
SIZE = re.compile(r"\d+(\.\d+)?[KMG]i?B", re.IGNORECASE)
"""Sizes that accelerate accepts."""


def cross_check(suite: Suite) -> Found:
    """Every inconsistency between parts of the suite, as (location, message)."""
    yield from import_problems(suite)
    yield from _variants(suite)
    yield from _before(suite)
    for name, task in suite.tasks.items():
        yield from _task(("tasks", name), task)
        yield from code_of(("tasks", name), task, suite)
    for index, gate in enumerate(suite.gates):
        yield from _gate(("gates", index), gate, suite)
        if gate.task in suite.tasks:
            again = suite.noise_floor is not None
            yield from noise_limit(("gates", index), gate, suite.tasks[gate.task], second_pass=again)
    yield from waiver_problems(suite)


def task_metrics(task: Task) -> tuple[str, ...] | None:
    """The metrics of a task; None for an lm-eval task, and for one with metrics that come from elsewhere: those are
    known only once they are loaded."""
    also = tuple(row.name for row in derived(task.kind))
    if task.choice is not None:
        return (*computed_by(OptionScore), *of_options(), *also)
    if task.generate is not None:
        asked = asked_for(task.generate)
        beside = tuple(COMPANIONS[name] for name in asked if name in computed_by(OfTexts))
        return None if any(map(elsewhere, asked)) else tuple(dict.fromkeys((*asked, *beside, *also)))
    if task.perplexity is not None:
        rows = of_kind("perplexity", "divergence") if task.perplexity.divergence else of_kind("perplexity")
        return tuple(row.name for row in rows)
    return None


def _variants(suite: Suite) -> Found:
    if not suite.tasks and not suite.tasks_in_files:
        yield ("tasks",), "expected at least one task"
    for name, variant in suite.variants.items():
        where = ("variants", name)
        if variant.baseline and (variant.quantize is not None or variant.quantized):
            key = "quantize" if variant.quantize is not None else "quantized"
            yield (*where, key), "the baseline is the full-precision model; quantize another variant"
        yield from ((((*where, key), message)) for key, message in _engine(variant))
        wants = variant.quantize
        if wants is not None and wants.calibrates and wants.calibration is None:
            needed = "calibration: {data: FILE.jsonl, field: text, samples: 128, length: 512}"
            yield (*where, "quantize"), f"{wants.method} looks at text while it quantizes: add {needed}"
        if variant.quantize is not None and variant.quantized is False:
            yield (*where, "quantized"), "contradicts quantize"


def _before(suite: Suite) -> Found:
    engine, owners = suite.variants[suite.baseline].engine_row.name, takers("script")
    if suite.base is not None and suite.base.script is not None and engine not in owners:
        message = f"belongs to a baseline with engine: {' or '.join(owners)}, and this one runs on {engine}"
        yield ("base", "script"), message


def _engine(variant: Variant) -> Iterator[tuple[str, str]]:
    """Keys that do not apply to the variant's engine."""
    row = variant.engine_row
    for key in Variant.model_fields:
        owners = takers(key)
        if owners and getattr(variant, key) is not None and row.name not in owners:
            yield key, f"belongs to engine: {' or '.join(owners)}, and this variant runs on {row.name}"
    yield from _placement(variant)
    if row.model == "address":
        for key in ("path", "dtype", "quantize", "environment"):
            if getattr(variant, key) is not None:
                yield key, "a served model is what its server loaded; only url and endpoint go with it"
        if variant.url is None:
            yield "engine", "a served model needs url, such as http://localhost:8000/v1"
        if variant.baseline:
            yield "baseline", "a served model cannot be the baseline: its weights and logits cannot be inspected"
    if row.model == "gguf" and variant.quantize is None and not str(variant.path).endswith(".gguf"):
        made = (f" or quantize: {{method: {each.name}}}" for each in METHODS.values() if each.engine == row.name)
        yield "engine", f"{row.name} needs path: FILE.gguf{''.join(made)}"
    loads_made = row.loads_made and variant.quantize is not None and variant.quantize.makes
    if variant.quantize is not None and row.name != variant.quantize.row.engine and not loads_made:
        yield "engine", f"{variant.quantize.method} runs on {variant.quantize.row.engine}"
    if variant.quantize is not None and variant.gguf_file is not None:
        yield (
            "gguf_file",
            "quantize starts from a full-precision folder, not from a GGUF file: leave one of them out",
        )


def _placement(variant: Variant) -> Iterator[tuple[str, str]]:
    """Memory limits that nothing would use, or that accelerate does not accept."""
    if variant.max_memory is None:
        return
    if not isinstance(variant.device_map, str):
        yield "max_memory", "limits what device_map: auto places, and this variant has no device_map: auto"
    for device, size in variant.max_memory.items():
        if device != "cpu" and not device.isdigit():
            yield "max_memory", f"expected cpu or a GPU's number as key, got {device!r}"
        if not SIZE.fullmatch(size):
            yield "max_memory", f"expected a size such as 20GiB or 500MB for {device}, got {size!r}"


def _task(where: Place, task: Task) -> Found:
    spec = task.choice or task.generate
    if isinstance(spec, Choice | Generate):
        kind = "choice" if task.choice is not None else "generate"
        if (spec.prompt is None) == (spec.messages is None):
            yield (*where, kind), "expected exactly one of prompt and messages"
        if spec.num_few_shot > 0 and spec.few_shot is None:
            yield (*where, kind, "num_few_shot"), "needs few_shot, a file of worked examples"
    if task.generate is not None:
        yield from ((((*where, "generate", key), says)) for key, says in metrics_of(task.generate))
        yield from several_answers((*where, "generate"), task.generate)
    if task.lm_eval is not None:
        yield from several_answers_of_lm_eval(where, task)
    if task.perplexity is not None and (task.perplexity.stride or 1) > task.perplexity.window:
        yield (
            (*where, "perplexity", "stride"),
            f"expected at most the window of {task.perplexity.window}, got {task.perplexity.stride}; "
            "tokens between would not be scored",
        )


def _gate(where: Place, gate: Gate, suite: Suite) -> Found:
    for name in gate.variants:
        if name not in suite.variants:
            yield (*where, "variants"), _unknown("variant", name, suite.candidates)
        elif name == suite.baseline:
            yield (*where, "variants"), f"{name} is the baseline; a gate judges candidates (or on: baseline)"
    if gate.row.looks_at == "base":
        yield from _retained(where, gate, suite)
    metric = lookup(gate.metric)
    if gate.against == "reference" and gate.row.looks_at == "own":
        says = f"{gate.form} looks at the candidate's own value; against goes with a drop, an increase or a ratio"
        if metric is not None and metric.kind == "divergence":
            says = f"{gate.metric} is measured from the baseline's distributions, never from another version's"
        yield (*where, "against"), says
    if metric is not None and metric.kind in ("speed", "memory"):
        yield from _measured(where, gate, metric, suite)
        return
    if gate.workload is not None:
        yield (*where, "workload"), f"{gate.metric} is not measured under a workload"
    if gate.weights:
        yield from _several(where, gate, metric, suite)
    elif gate.task is None:
        yield _without_task(where, gate, metric, suite)
    else:
        yield from _on_task(where, gate, metric, suite, gate.task)


def _on_task(where: Place, gate: Gate, metric: Metric | None, suite: Suite, task: str) -> Found:
    if task in suite.tasks:
        yield from _quality(where, gate, metric, suite.tasks[task])
    elif not suite.tasks_in_files:
        yield (*where, "task"), _unknown("task", task, tuple(suite.tasks))


def _without_task(where: Place, gate: Gate, metric: Metric | None, suite: Suite) -> tuple[Place, str]:
    if metric is None:
        return (*where, "metric"), _unknown("metric", gate.metric, tuple(METRICS))
    return where, f"{gate.metric} needs a task" + (f": one of {', '.join(suite.tasks)}" if suite.tasks else "")


def _retained(where: Place, gate: Gate, suite: Suite) -> Found:
    if suite.base is None:
        yield (*where, gate.form), "needs `base:` in the suite, the model before fine-tuning"
    if gate.against == "reference":
        yield (*where, "against"), f"{gate.form} is measured from the base to the baseline; leave against out"


def _measured(where: Place, gate: Gate, metric: Metric, suite: Suite) -> Found:
    if gate.task is not None:
        yield (*where, "task"), f"{gate.metric} is measured once per variant, not per task"
    if gate.slice is not None:
        yield (*where, "slice"), f"{gate.metric} has no slices"
    if gate.on == "baseline":
        yield (*where, "on"), f"{gate.metric} is compared with the baseline on one machine only"
    if gate.against == "reference" and metric.kind == "speed":
        yield (
            (*where, "against"),
            f"{gate.metric} is timed in turns with the baseline and cannot be paired with an earlier run's timing.  "
            "Leave against out",
        )
    if suite.imports:
        yield (*where, "metric"), f"{gate.metric} is measured where a model runs, and these results are imported"
        return
    at_load = isinstance(metric.computed, StoredBytes) and metric.computed.at_load
    if suite.speed is None and (not at_load or gate.workload is not None):
        yield where, f"{gate.metric} needs `speed:` in the suite"
    elif suite.speed is not None and gate.workload is not None:
        names = [f"{each.batch}x{each.prompt_tokens}+{each.new_tokens}" for each in suite.speed.workloads]
        if gate.workload not in names:
            yield (*where, "workload"), _unknown("workload", gate.workload, tuple(names))
    yield from _form(where, gate, metric)


def _quality(where: Place, gate: Gate, metric: Metric | None, task: Task) -> Found:
    known = task_metrics(task)
    if known is not None and gate.metric not in known:
        yield (*where, "metric"), _unknown("metric", gate.metric, known) + unscored(task, metric)
        return
    if gate.row.looks_at == "rest" and gate.slice is None:
        yield where, f"{gate.form} needs slice: each, or one FIELD=VALUE that is held against the rest of {gate.task}"
    if gate.slice is not None:
        fields = task.slice_by
        if task.imported is not None:  # the files may bring slices of their own
            pass
        elif not fields:
            yield (*where, "slice"), f"task {gate.task} has no slice_by"
        elif gate.slice != "each" and gate.slice.partition("=")[0] not in fields:
            yield (
                (*where, "slice"),
                f"expected each or FIELD=VALUE with a field of {', '.join(fields)}, got {gate.slice!r}",
            )
        elif metric is not None and metric.kind == "divergence":
            yield (*where, "slice"), f"{gate.metric} is not kept apart by slice"
    if metric is not None:
        yield from _form(where, gate, metric)


def _several(where: Place, gate: Gate, metric: Metric | None, suite: Suite) -> Found:
    """A gate on the mean over several tasks."""
    for key in ("slice", "on"):
        if key in gate.model_fields_set:
            yield (*where, key), f"{key} goes with one task, not with tasks"
    if not gate.row.pools:
        pooled = " or ".join(key for key, form in FORMS.items() if form.pools)
        yield (*where, gate.form), f"several tasks can be judged together by {pooled}, not by {gate.form}"
    for name in gate.weights:
        if name not in suite.tasks:
            if not suite.tasks_in_files:
                yield (*where, "tasks"), _unknown("task", name, tuple(suite.tasks))
            continue
        known = task_metrics(suite.tasks[name])
        if known is not None and gate.metric not in known:
            says = _unknown("metric", gate.metric, known) + unscored(suite.tasks[name], metric)
            yield (*where, "metric"), f"{name}: {says}"
    if metric is not None and metric.kind == "corpus":
        yield (*where, "tasks"), f"{gate.metric} is a metric of all items at once, which has no mean over tasks"
    elif metric is not None:
        yield from _form(where, gate, metric)


def _form(where: Place, gate: Gate, metric: Metric) -> Found:
    if metric.kind not in gate.row.kinds:
        yield (*where, gate.form), f"does not fit {gate.metric}; use one of {', '.join(fitting(metric.kind))}"


def _unknown(what: str, name: str, known: tuple[str, ...]) -> str:
    return f"unknown {what} {name!r}{nearest(name, known)}; expected one of {', '.join(known)}"


def missing_baseline_warnings(suite: Suite) -> Iterator[tuple[Place, str]]:
    """Gates with `against: reference` that permit cumulative drift, as (location, message). These are warnings, not
    errors."""
    for index, gate in enumerate(suite.gates):
        if gate.against == "reference" and (says := _unanchored(gate, suite)) is not None:
            yield ("gates", index), says


def _unanchored(gate: Gate, suite: Suite) -> str | None:
    what = " ".join(part for part in (gate.task, gate.metric) if part)
    what += f" on {gate.slice}" if gate.slice not in (None, "each") else " on each slice" if gate.slice else ""
    fixed = [each for each in suite.gates if _anchors(each, gate)]
    blocking = [each for each in fixed if each.severity == "block"]
    says = (
        f"{what} is held against the last promoted version, and nothing limits its loss since the full-precision "
        "model: small steps add up"
    )
    add = "add a gate on it without `against`"
    if not fixed:
        return f"{says} unseen; {add}"
    if gate.severity == "block" and not blocking:
        return f"{says}, and the gate that sees it only warns; {add} that blocks"
    wanted = gate.variants or suite.candidates
    covering = blocking if gate.severity == "block" else fixed
    bare = [name for name in wanted if not any(name in (each.variants or suite.candidates) for each in covering)]
    return f"{says} unseen for {', '.join(bare)}; {add} for every variant" if bare else None


def _anchors(other: Gate, gate: Gate) -> bool:
    """Whether `other` limits the same figure against something that promotions do not move: the baseline or a fixed
    level."""
    return (
        (other.task, other.metric) == (gate.task, gate.metric)
        and other.against == "baseline"
        and other.on != "baseline"
        and other.slice in (gate.slice, "each" if gate.slice is not None else None)
    )
