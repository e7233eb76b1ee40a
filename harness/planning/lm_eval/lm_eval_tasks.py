"""lm-eval's own tasks, by name, and tasks from a local YAML."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from harness.datafiles.rows import Row, named_id, problem
from harness.errors import SuiteError
from harness.planning.lm_eval.task_code import check_task_code
from harness.planning.lm_eval.task_files import refresh, task_files
from harness.planning.prompts.few_shot import keep_apart
from harness.planning.prompts.short_forms import Docs, quiet_lm_eval
from harness.suite.load import LoadedSuite
from harness.suite.locations import resolve_file
from harness.suite.task_model import Task

FEW_SHOT_SEED = NUMPY_SEED = 1234
RANDOM_SEED = 0
"""lm-eval's own defaults, so that its examples, and what a task's code draws, are ours."""
LM_EVALS_TASK = "lm_eval/api/task.py"
SUPPORTED = ("multiple_choice", "loglikelihood", "generate_until", "loglikelihood_rolling")


def lm_eval_docs(loaded: LoadedSuite, name: str, task: Task) -> Docs:
    """The documents of an lm-eval task. Raises `SuiteError` when there is no such task or its data is not available."""
    assert task.lm_eval is not None
    quiet_lm_eval()
    before = _code(loaded, task.lm_eval)
    with lm_evals_seeds():
        built = _load(loaded, name, task.lm_eval)
        docs = tuple(dict(doc) for doc in built.eval_docs)
    if before != _code(loaded, task.lm_eval, of=before):
        raise problem(loaded.shown, f"tasks.{name}.lm_eval", f"{task.lm_eval}: a file of it changed while it was read")
    definition = _definition(loaded, task.lm_eval, docs if task.id is not None else ())
    if refused := _refused(built):
        raise problem(loaded.shown, f"tasks.{name}.lm_eval", f"{task.lm_eval} {refused}")
    if task.num_few_shot is not None:
        built.set_config(key="num_fewshot", value=task.num_few_shot)
    built.set_fewshot_seed(seed=FEW_SHOT_SEED)
    apart = keep_apart(built, place=loaded.shown, key=f"tasks.{name}.num_few_shot")
    places = tuple(f"{task.lm_eval}, document {index}" for index in range(len(docs)))
    return Docs(
        task=built,
        docs=docs,
        rows=docs,
        ids=_ids(loaded, name, task, docs),
        places=places,
        num_few_shot=int(built.config.num_fewshot or 0),
        definition=definition,
        apart=apart,
    )


def _code(loaded: LoadedSuite, asked: str, of: Collection[Path] | None = None) -> dict[Path, bytes]:
    """The current files that a local YAML depends on; read before it is loaded, so that no stale version runs.
    `of`: these files only."""
    if not _is_file(asked):
        return {}
    files = task_files(resolve_file(loaded, asked)) if of is None else of
    if of is None:
        refresh(files)
    return {each: each.read_bytes() for each in files if each.is_file()}


@contextmanager
def lm_evals_seeds() -> Iterator[None]:
    """Sets the seeds under which lm-eval loads a task, for code that shuffles; restores the state afterwards."""
    import numpy as np

    ours, theirs = random.getstate(), np.random.get_state()
    random.seed(RANDOM_SEED)
    np.random.seed(NUMPY_SEED)
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(theirs)


def _is_file(asked: str) -> bool:
    return asked.endswith((".yaml", ".yml"))


def _load(loaded: LoadedSuite, name: str, asked: str) -> Any:
    """The one task of this name. What its data set or code raises is reported as a problem of the suite."""
    import datasets
    from lm_eval.tasks import TaskManager

    if not sys.stderr.isatty():  # a bar is redrawn on a new line of a log each time
        datasets.disable_progress_bars()
    key = f"tasks.{name}.lm_eval"
    try:
        if _is_file(asked):
            path = resolve_file(loaded, asked)
            if not path.is_file():
                raise problem(loaded.shown, key, f"{asked}: no such file")
            check_task_code(loaded, key, path)
            found = TaskManager(include_path=str(path.parent), include_defaults=False).load(str(path))
        else:
            manager = _catalogue()
            if asked not in manager.all_tasks:
                raise problem(loaded.shown, key, f"lm-eval has no task {asked!r}{_near(asked, manager.all_tasks)}")
            if members := _members(manager, asked):
                raise problem(loaded.shown, key, _group(asked, members))
            found = manager.load(asked)
    except SuiteError:
        raise
    except Exception as error:  # a task is somebody's YAML, Python and data set: it can raise anything
        says = f"lm-eval could not load {asked}: {where_in_task(error)}{first_cause(error)}"
        raise problem(loaded.shown, key, says) from error
    tasks = found["tasks"]
    if len(tasks) != 1:
        raise problem(loaded.shown, key, _group(asked, list(tasks)))
    return next(iter(tasks.values()))


@cache
def _catalogue() -> Any:
    """lm-eval's index of its own tasks: thousands of YAML files, read once a process."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _members(manager: Any, asked: str) -> list[str]:
    """Names behind a group or a tag, known without loading the data of any; empty for a task."""
    kind = manager.task_index[asked].kind.name
    if kind == "TAG":
        return [name for name, entry in manager.task_index.items() if asked in entry.tags]
    if kind == "GROUP":
        members = (manager.task_index[asked].cfg or {}).get("task", ())
        return [each if isinstance(each, str) else str(each.get("task", each)) for each in members]
    return []


def _group(asked: str, members: list[str]) -> str:
    shown = ", ".join(sorted(members)[:10]) + (", …" if len(members) > 10 else "")
    return f"{asked} is a group of {len(members)} tasks; name one of: {shown}"


def first_cause(error: BaseException) -> str:
    """`datasets` wraps a broken line in an error that says only that something went wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def where_in_task(error: BaseException) -> str:
    """The key of the task that lm-eval was reading, and the document: it tries a task with the first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        if not frame.f_code.co_filename.endswith(LM_EVALS_TASK):
            continue
        target, options = frame.f_locals.get("test_target"), frame.f_locals.get("test_choice")
        if frame.f_code.co_name.startswith("doc_to_"):
            return f"{frame.f_code.co_name} of document 0: "
        if isinstance(target, int) and isinstance(options, list):
            return (
                f"doc_to_target of document 0 is {target}, which lm-eval takes for an index from 0 into "
                f"{len(options)} options (a text of digits too): "
            )
    return ""


def _refused(built: Any) -> str | None:
    """Why quantgate does not support this task, to follow its name."""
    if built.OUTPUT_TYPE not in SUPPORTED:
        return f"has the output type {built.OUTPUT_TYPE}; expected one of {', '.join(SUPPORTED)}"
    if getattr(built, "UNSAFE_CODE", False):
        return "runs code that the model writes, which quantgate does not do"
    return None


def _definition(loaded: LoadedSuite, asked: str, rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """Hash of a local YAML's folder of YAML and Python, of what these bring in from elsewhere, and of documents that
    their ids do not identify; lm-eval's own tasks are covered by its version."""
    if not _is_file(asked):
        return ""
    yaml = resolve_file(loaded, asked)
    digest = hashlib.sha256()
    beside = [each for each in sorted(yaml.parent.iterdir(), key=lambda each: each.name) if _counts(each, loaded.path)]
    for file in beside:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    own = {each.resolve() for each in beside}
    for file in task_files(yaml):
        if file not in own and _belongs(file, loaded.path):
            digest.update(os.path.relpath(file, yaml.parent.resolve()).encode() + b"\0" + file.read_bytes() + b"\0")
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _counts(file: Path, suite: Path) -> bool:
    return file.suffix in (".yaml", ".yml", ".py") and file.is_file() and _belongs(file, suite)


def _belongs(file: Path, suite: Path) -> bool:
    """The suite itself may be in the same folder; a changed limit must not change the task."""
    return file.resolve() != suite.resolve()


def _near(asked: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(asked, known, n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def _ids(loaded: LoadedSuite, name: str, task: Task, docs: tuple[dict[str, Any], ...]) -> tuple[str, ...]:
    """The named field, which must identify documents, or a hash of the document.

    Equal documents of a public data set are no mistake of the suite: their position distinguishes them.
    """
    if task.id is not None:
        return _named_ids(loaded, f"tasks.{name}.id", task.id, docs)
    seen: dict[str, int] = {}
    unique = []
    for doc in docs:
        each = hashlib.sha256(json.dumps(doc, sort_keys=True, default=str).encode()).hexdigest()[:16]
        seen[each] = seen.get(each, 0) + 1
        unique.append(each if seen[each] == 1 else f"{each}#{seen[each]}")
    return tuple(unique)


def _named_ids(loaded: LoadedSuite, key: str, field: str, docs: tuple[dict[str, Any], ...]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    for index, doc in enumerate(docs):
        if field not in doc:
            have = ", ".join(map(repr, doc))
            raise problem(loaded.shown, key, f"expected a field {field!r}, document {index} has {have}")
        first = seen.setdefault(named_id(Row(fields=doc, place=f"{loaded.shown}, document {index}"), field, key), index)
        if first != index:
            raise problem(loaded.shown, key, f"documents {first} and {index} have the same id {doc[field]!r}")
    return tuple(seen)
