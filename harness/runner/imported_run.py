"""A run of imported results: both sides' files into plans and evaluations, then the manifest, as of a run of our own.

Nothing is loaded or computed. Files that cannot be read stop the import before a manifest is written; a candidate that
was not asked what the baseline was asked is recorded as failed, with the place and what differs, and makes it INVALID.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from harness.errors import Problem, RunError, SuiteError, UsageError
from harness.imports.items import NotTheSameError, groups, planned
from harness.imports.open_side import named_tasks, near, open_side
from harness.imports.shape import ImportedSide, ImportedTask, Selection, TaskKind
from harness.imports.store_side import StoredPlan, facts_of, identity_of, store_evaluation, store_plan, weights_of
from harness.metrics.table import known_metrics
from harness.planning.task_plan import Answer, TaskPlan
from harness.records.evaluation_manifest import Host, evaluation_key
from harness.records.items import ItemRecord
from harness.records.run_manifest import RunManifest, TaskRun, VariantRun
from harness.records.runs import new_run_id
from harness.records.store import Store
from harness.runner.host import this_host
from harness.runner.progress import Reporter
from harness.runner.run_options import RunOptions
from harness.suite.describe import task_definition
from harness.suite.gate_model import Gate
from harness.suite.load import LoadedSuite, dotted
from harness.suite.locations import resolve_file
from harness.suite.names import nearest


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A task of the suite and what it is in the files."""

    name: str
    imported: str
    selection: Selection


def run_imports(loaded: LoadedSuite, options: RunOptions, reporter: Reporter) -> RunManifest:
    """Import what a suite's variants name and store the run's manifest.

    Raises `SuiteError` for files that cannot be imported and tasks, metrics or slices that they have not, `UsageError`
    for options that do not go with an import, `RecordError` for the results folder.
    """
    options.check(loaded.suite)
    if options.limit is not None:
        raise UsageError("--limit: imported results are compared as they are, every item of them; leave it out")
    began = time.monotonic()
    sides = open_sides(loaded, options.variants)
    asked = _tasks(loaded, sides[loaded.suite.baseline], options.tasks)
    store = Store(Path(options.results))
    store.check_writable(2 * sum(each.path.stat().st_size for side in sides.values() for each in side.files))
    with store.locked():
        run = _Run(loaded, options, store, reporter, sides)
        return run.go(asked, began)


def open_sides(loaded: LoadedSuite, only: tuple[str, ...] = ()) -> dict[str, ImportedSide]:
    """Every variant's files opened, or the baseline's and those of `only`. Raises `SuiteError`, also where two
    variants are the same files."""
    suite = loaded.suite
    sides: dict[str, ImportedSide] = {}
    for name in (suite.baseline, *suite.candidates):
        spec = suite.variants[name].imported
        assert spec is not None  # `cross_check`: all variants of such a suite are imported
        if name == suite.baseline or not only or name in only:
            sides[name] = open_side(resolve_file(loaded, spec.path), spec.format)
    owners: dict[str, str] = {}
    for name, side in sides.items():
        other = owners.setdefault(weights_of(side), name)
        if other != name:
            says = f"is the same files as {other}, so nothing would be compared; name the other model's results"
            raise SuiteError((Problem(place=loaded.shown, key=f"variants.{name}.import", message=says),))
    return sides


def _tasks(loaded: LoadedSuite, baseline: ImportedSide, only: tuple[str, ...]) -> list[_Asked]:
    """The suite's tasks, or all that the baseline's files have. Raises `SuiteError` for one they have not."""
    if not loaded.suite.tasks:
        named = named_tasks(baseline)
        for name in only:
            if name not in named:
                raise UsageError(f"--task {name}: the files of {loaded.suite.baseline} have {', '.join(named)}")
        plain = Selection()
        return [_Asked(name=name, imported=task.name, selection=plain) for name, task in named.items()
                if not only or name in only]  # fmt: skip
    problems, found = [], []
    for name, spec in loaded.suite.tasks.items():
        imported = spec.imported or ""
        if imported not in baseline.tasks:
            says = (
                f"the files of {loaded.suite.baseline} have no task {imported!r}{near(imported, baseline)}; they have "
            )
            says += ", ".join(baseline.tasks)
            problems.append(Problem(place=loaded.shown, key=f"tasks.{name}.imported", message=says))
        elif not only or name in only:
            selection = Selection(slice_by=spec.slice_by, cluster_by=spec.cluster_by)
            found.append(_Asked(name=name, imported=imported, selection=selection))
    if problems:
        raise SuiteError(tuple(problems))
    return found


def imported_plans(loaded: LoadedSuite) -> tuple[TaskPlan, ...]:
    """What a run would import, for `check` and `plan`: the baseline's items, without prompts. Raises `SuiteError`."""
    side = open_sides(loaded)[loaded.suite.baseline]
    plans, known = [], []
    for asked in _tasks(loaded, side, ()):
        task = side.tasks[asked.imported]
        found = (planned(group, place) for place, group in enumerate(groups(task, asked.selection)))
        items = tuple(item.model_copy(update={"prompt": ""}) for item in found)
        known.append(_Known(name=asked.name, kind=task.kind, metrics=_metrics(task), fields=tuple(items[0].slices)))
        plans.append(
            TaskPlan(
                name=asked.name,
                kind=task.kind,
                items=items,
                requests=((),) * len(items),
                texts=(),
                metrics=_metrics(task),
                lower_is_better=_lower(task),
                scorer=_not_scored,
                source=task.source,
                settings="",
                said=(f"{len(items):,} items of {task.source}",),
            )
        )
    _check_gates(loaded, known, partial=False)
    return tuple(plans)


def _not_scored(index: int, answers: Sequence[Answer]) -> ItemRecord:
    raise AssertionError(f"item {index} with {len(answers)} answers: imported items are never asked")


def _metrics(task: ImportedTask) -> tuple[str, ...]:
    return tuple(metric.name for metric in task.metrics)


def _lower(task: ImportedTask) -> tuple[str, ...]:
    return tuple(metric.name for metric in task.metrics if not metric.higher_is_better)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What a gate can look at in a task."""

    name: str
    kind: TaskKind
    metrics: tuple[str, ...]
    fields: tuple[str, ...]
    """Slice fields."""


def _check_gates(loaded: LoadedSuite, tasks: Sequence[_Known], *, partial: bool) -> None:
    """Raises `SuiteError` for gates on tasks, metrics and slices that the files have not. `partial`: gates on other
    tasks are not judged."""
    by_name = {task.name: task for task in tasks}
    problems: list[Problem] = []
    for index, gate in enumerate(loaded.suite.gates):
        for name in gate.weights or ([] if gate.task is None else [gate.task]):
            if (task := by_name.get(name)) is not None:
                problems += [_problem(loaded, index, key, says) for key, says in _unfit(gate, task)]
            elif not partial:
                says = f"unknown task {name!r}{nearest(name, by_name)}; the files have {', '.join(by_name)}"
                problems.append(_problem(loaded, index, "tasks" if gate.weights else "task", says))
    if problems:
        raise SuiteError(tuple(problems))


def _unfit(gate: Gate, task: _Known) -> Iterator[tuple[str, str]]:
    """Key and message of what a gate looks at and its task has not."""
    known = known_metrics(task.kind, task.metrics)
    if gate.metric not in known:
        says = f"{task.name} has no metric {gate.metric!r}{nearest(gate.metric, known)}"
        yield "metric", f"{says}; expected one of {', '.join(known)}"
    if gate.slice == "each" and not task.fields:
        yield "slice", f"{task.name} has no slices; write slice_by in the task"
    elif gate.slice not in (None, "each") and (field := str(gate.slice).partition("=")[0]) not in task.fields:
        yield "slice", f"{task.name} has no slices by {field!r}; write slice_by in the task"


def _problem(loaded: LoadedSuite, gate: int, key: str, says: str) -> Problem:
    return Problem(place=loaded.shown, key=dotted(("gates", gate, key)), message=says)


class _Run:
    """The state of one import while it is made."""

    def __init__(
        self,
        loaded: LoadedSuite,
        options: RunOptions,
        store: Store,
        reporter: Reporter,
        sides: Mapping[str, ImportedSide],
    ) -> None:
        self.loaded, self.options, self.store, self.reporter, self.sides = loaded, options, store, reporter, sides
        self.started = datetime.now(UTC)
        self.run_id = new_run_id(self.started)
        self.host: Host = this_host()

    def go(self, asked: list[_Asked], began: float) -> RunManifest:
        suite = self.loaded.suite
        for name, side in self.sides.items():
            for note in side.notes:
                self.reporter.say(f"{name}: {note}")
        plans = [self._planned(each) for each in asked]
        known = [
            _Known(name=plan.name, kind=plan.task.kind, metrics=_metrics(plan.task), fields=plan.fields)
            for plan in plans
        ]
        _check_gates(self.loaded, known, partial=bool(self.options.tasks))
        runs = {name: self._variant(name, side, plans) for name, side in self.sides.items()}
        accepted = self.store.accepted(suite.suite)
        reference = accepted[-1] if accepted else None
        manifest = RunManifest(
            run=self.run_id,
            suite=suite.suite,
            suite_file=str(self.loaded.path),
            suite_hash=self.loaded.hash,
            suite_text=self.loaded.text,
            baseline=suite.baseline,
            variants=runs,
            tasks={plan.name: self._task_run(plan) for plan in plans},
            host=self.host,
            quantgate=version("quantgate"),
            started_at=self.started.isoformat(timespec="seconds"),
            elapsed_s=time.monotonic() - began,
            partial=self.options.partial,
            label=self.options.label.strip(),
            reference=reference.run if reference else None,
            reference_variant=reference.variant if reference else None,
        )
        self.store.save_run(manifest)
        return manifest

    def _planned(self, asked: _Asked) -> StoredPlan:
        task = self.sides[self.loaded.suite.baseline].tasks[asked.imported]
        plan = store_plan(self.store, asked.name, task, asked.selection)
        self.reporter.say(f"{asked.name}: {plan.count:,} items of {task.source}")
        return plan

    def _variant(self, name: str, side: ImportedSide, plans: list[StoredPlan]) -> VariantRun:
        """One side's evaluations. Raises `UnreadableError`; that a candidate was asked otherwise is recorded."""
        run = VariantRun(variant=name, weights=weights_of(side), quantization="", facts=facts_of(side))
        evaluations: dict[str, str] = {}
        try:
            for plan in plans:
                task = side.tasks.get(plan.task.name)
                if task is None:
                    raise NotTheSameError(f"{plan.name} is not in its files, and the baseline was asked it")
                if differing := tuple(disagreements(plan.task, task)):
                    raise NotTheSameError("; ".join(f"{plan.name}: {each}" for each in differing))
                evaluations[plan.name] = self._evaluation(name, side, task, plan)
        except NotTheSameError as error:
            if name == self.loaded.suite.baseline:
                raise RunError(f"the files of {name} changed while they were read: {error}") from error
            self.reporter.say(f"{name}: {error}")
            return run.model_copy(update={"facts": None, "failure": str(error)})
        return run.model_copy(update={"evaluations": evaluations})

    def _evaluation(self, name: str, side: ImportedSide, task: ImportedTask, plan: StoredPlan) -> str:
        """The key of an evaluation, imported now unless the same files were before."""
        plain = evaluation_key(identity_of(side, plan))
        attempt = self.run_id if self.options.fresh else self.store.latest_attempt(plain)
        identity = identity_of(side, plan, attempt)
        key = evaluation_key(identity)
        if self.store.evaluation(key) is not None:
            self.reporter.say(f"{name} · {plan.name}: already there")
            return key
        self.reporter.say(f"{name} · {plan.name}: importing {task.source}")
        store_evaluation(self.store, side, task, plan, name, self.host, identity)
        if self.options.fresh:
            self.store.save_attempt(plain, self.run_id)
        return key

    def _task_run(self, plan: StoredPlan) -> TaskRun:
        return TaskRun(
            task=plan.name,
            plan=plan.hash,
            kind=plan.task.kind,
            items=plan.count,
            tokens=0,
            too_long=0,
            metrics=_metrics(plan.task),
            lower_is_better=_lower(plan.task),
            source=plan.task.source,
            definition=task_definition(self.loaded.suite, plan.name),
        )


def disagreements(baseline: ImportedTask, candidate: ImportedTask) -> Iterator[str]:
    """What both sides must have in common and have not, each in a sentence."""
    if baseline.kind != candidate.kind:
        yield f"is a {candidate.kind} task in {candidate.source}, and a {baseline.kind} task in {baseline.source}"
    metrics = [[each.name for each in task.metrics] for task in (baseline, candidate)]
    if sorted(metrics[0]) != sorted(metrics[1]):
        yield f"was measured by {', '.join(metrics[1])} ({candidate.source}), expected {', '.join(metrics[0])}"
    for name in dict.fromkeys((*baseline.must_agree, *candidate.must_agree)):
        then, now = (task.must_agree.get(name, "nothing") for task in (baseline, candidate))
        if then != now:
            yield f"its {name} is {now:.200} in {candidate.source}, and {then:.200} in {baseline.source}"
