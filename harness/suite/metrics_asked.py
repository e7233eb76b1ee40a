"""Rules of a suite for the metrics of generated answers: which there are, and what each needs of its task."""

from __future__ import annotations

from collections.abc import Iterator

from harness.metrics.repeats import over_answers
from harness.metrics.row import AgainstSchema, Metric, OfTexts, TextScore
from harness.metrics.table import computed_by
from harness.suite.metric_names import LibraryMetric, elsewhere
from harness.suite.models import Suite
from harness.suite.names import nearest
from harness.suite.task_model import Generate, Task

Place = tuple[str | int, ...]


def asked_for(spec: Generate) -> tuple[str, ...]:
    """The metrics of a task, as they are written."""
    return (spec.metric,) if isinstance(spec.metric, str) else spec.metric


def metrics_of(spec: Generate) -> Iterator[tuple[str, str]]:
    """What is wrong with a task's metrics, and with what they need, by key."""
    texts, schemas = (*computed_by(TextScore), *computed_by(OfTexts)), computed_by(AgainstSchema)
    asked = asked_for(spec)
    known = (*texts, *schemas)
    for metric in asked:
        if metric not in known and elsewhere(metric) is None and over_answers(metric) is None:
            hint = "; a function of your own is FILE.py:NAME" if ".py" in metric or ":" in metric else ""
            listed = ", ".join((*known, "pass@k", "maj@k"))
            yield "metric", f"unknown metric {metric!r}{nearest(metric, known)}; expected one of {listed}{hint}"
    for metric in {each: None for each in asked if asked.count(each) > 1}:
        yield "metric", f"{metric} is asked for twice"
    if not asked:
        yield from _nothing_scored(spec)
    needing = [each for each in asked if each in texts or isinstance(elsewhere(each), LibraryMetric)]
    if spec.answer is None and needing:
        yield "answer", f"{needing[0]} compares with a reference: add answer, the template that gives it"
    if spec.answer is None and spec.num_few_shot:
        yield "answer", "worked examples show their answers: add answer, the template that gives them"
    if (checks := [each for each in asked if each in schemas]) and spec.schema_file is None:
        yield "schema", f"{checks[0]} needs schema: FILE.json, the JSON Schema that answers must fit"
    if spec.schema_file is not None and not checks:
        yield "schema", f"only {', '.join(schemas)} looks at it, and the task does not have that metric"


def _nothing_scored(spec: Generate) -> Iterator[tuple[str, str]]:
    """A task without a metric has only what compares its answers with the baseline's, and those see the whole text."""
    if spec.answer is not None:
        yield "metric", "expected a metric that looks at answer, got none; leave metric out for exact_match"
    for key in ("regex", "ignore_case", "ignore_punctuation"):
        if getattr(spec, key):
            says = "belongs to a metric, and the task has none: measures of agreement compare whole answers"
            yield key, f"{says}; add answer or metric, or leave it out"


def unscored(task: Task, metric: Metric | None) -> str:
    """What is missing for a metric that needs a reference, where the task has none; empty elsewhere."""
    needs = metric is not None and isinstance(metric.computed, TextScore)
    return "; the task has no answer to compare with" if needs and task.generate and not task.generate.answer else ""


def code_of(where: Place, task: Task, suite: Suite) -> Iterator[tuple[Place, str]]:
    """Metrics that are Python of the suite's own, or that `evaluate` would fetch, where the suite allows none."""
    if task.generate is None or suite.allow_task_code:
        return
    for metric in asked_for(task.generate):
        asked = elsewhere(metric)
        if asked is not None and not (isinstance(asked, LibraryMetric) and asked.library == "lm_eval"):
            says = f"{metric} runs Python, which a suite must allow: set allow_task_code: true if you trust that code"
            yield (*where, "generate", "metric"), says
