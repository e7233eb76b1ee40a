"""Rules of a suite for several sampled answers to each item: what repeats, sampling and pass@k need of one another."""

from __future__ import annotations

from collections.abc import Iterator

from harness.metrics.repeats import over_answers
from harness.metrics.row import OverAnswers
from harness.metrics.table import METRICS
from harness.suite.gate_model import Gate
from harness.suite.task_model import Generate, Task

Place = tuple[str | int, ...]
Found = Iterator[tuple[Place, str]]
EXAMPLE = "sampling: {temperature: 0.7, top_p: 0.95}"


def several_answers(where: Place, spec: Generate) -> Found:
    """What does not fit in a `generate` block, as (location, message)."""
    if spec.repeats > 1 and spec.sampling is None:
        message = (
            f"{spec.repeats} answers of greedy decoding to one item are all equal: add {EXAMPLE}, or leave repeats out"
        )
        yield (*where, "repeats"), message
    names = (spec.metric,) if isinstance(spec.metric, str) else spec.metric
    yield from _too_many(where, names, spec.repeats)
    if not any(over_answers(name) is not None for name in names):
        return
    first = names[0]
    row = METRICS.get(first)
    if over_answers(first) is not None:
        message = f"{first} counts what another metric calls right; name that one first: [exact_match, {first}]"
        yield (*where, "metric"), message
    elif row is not None and row.kind != "binary":
        message = f"pass@k and maj@k count right answers, and {first} gives shares; name exact_match or contains first"
        yield (*where, "metric"), message


def several_answers_of_lm_eval(where: Place, task: Task) -> Found:
    """The same for a task of lm-eval, as far as it is known without loading it."""
    names = (task.metric,) if isinstance(task.metric, str) else task.metric
    for name in names:
        if over_answers(name) is None:
            message = f"expected pass@k or maj@k, got {name!r}; the task brings its other metrics itself"
            yield (*where, "metric"), message
    if task.repeats is not None:
        yield from _too_many(where, names, task.repeats)


def noise_limit(where: Place, gate: Gate, task: Task, *, second_pass: bool) -> Found:
    """Why the noise of the baseline will not be known, where the suite says so. `second_pass`: it has one."""
    if not gate.measures_limit:
        return
    word = f"{gate.form}: noise"
    spec = task.generate
    if over_answers(gate.metric) is not None:
        yield (*where, gate.form), f"{word} is measured of the mean over answers, not of {gate.metric}; write a number"
    elif spec is not None and spec.sampling is not None and spec.repeats == 1:
        yield (*where, gate.form), f"{word}: one sampled answer an item shows no noise; set repeats to 2 or more"
    elif spec is not None and spec.repeats > 1:
        first = spec.metric if isinstance(spec.metric, str) else spec.metric[0]
        if gate.metric != first:
            yield (*where, gate.form), f"{word} is measured of the task's first metric, {first}; write a number"
    elif not second_pass and task.lm_eval is None:
        yield (*where, gate.form), f"{word} is measured in the baseline's second pass: noise_floor must not be false"


def _too_many(where: Place, names: tuple[str, ...], repeats: int) -> Found:
    for name in names:
        row = over_answers(name)
        if row is not None and isinstance(row.computed, OverAnswers) and row.computed.k > repeats:
            yield (*where, "metric"), f"{name} needs {row.computed.k} answers to an item, repeats is {repeats}"
