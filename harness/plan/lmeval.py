"""lm-eval's own tasks: by name, or from a YAML of the suite's."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from harness.plan.rows import problem
from harness.plan.shortforms import Docs, quiet_lm_eval
from harness.spec.load import LoadedSuite
from harness.spec.models import Task
from harness.spec.places import resolve_file

FEW_SHOT_SEED = 1234
"""lm-eval's own default, so that its examples are ours."""


def lm_eval_docs(loaded: LoadedSuite, name: str, task: Task) -> Docs:
    """The documents of an lm-eval task. Raises `SuiteError` when there is no such task or its data cannot be had."""
    assert task.lm_eval is not None
    quiet_lm_eval()
    built = _load(loaded, name, task.lm_eval)
    if built.OUTPUT_TYPE not in (
        "multiple_choice",
        "loglikelihood",
        "generate_until",
        "loglikelihood_rolling",
    ):
        raise problem(str(loaded.path), f"tasks.{name}.lm_eval", f"output type {built.OUTPUT_TYPE} is not supported")
    if task.num_few_shot is not None:
        built.set_config(key="num_fewshot", value=task.num_few_shot)
    built.set_fewshot_seed(seed=FEW_SHOT_SEED)
    docs = tuple(dict(doc) for doc in built.eval_docs)
    shots = built.config.num_fewshot
    return Docs(task=built, docs=docs, rows=docs, ids=_ids(loaded, name, task, docs), num_few_shot=int(shots or 0))


def _load(loaded: LoadedSuite, name: str, asked: str) -> Any:
    from lm_eval.tasks import TaskManager

    key = f"tasks.{name}.lm_eval"
    try:
        if asked.endswith((".yaml", ".yml")):
            path = resolve_file(loaded, asked)
            if not path.is_file():
                raise problem(str(loaded.path), key, f"{asked}: no such file")
            found = TaskManager(include_path=str(path.parent), include_defaults=False).load(str(path))
        else:
            manager = TaskManager()
            if asked not in manager.all_tasks:
                raise problem(str(loaded.path), key, f"lm-eval has no task {asked!r}{_near(asked, manager.all_tasks)}")
            found = manager.load(asked)
    except (OSError, ValueError, ConnectionError, KeyError) as error:
        raise problem(str(loaded.path), key, f"lm-eval could not load {asked}: {str(error).splitlines()[0]}") from error
    tasks = found["tasks"]
    if len(tasks) != 1:
        names = ", ".join(sorted(tasks)[:10])
        raise problem(str(loaded.path), key, f"{asked} is a group of {len(tasks)} tasks; name one of: {names}")
    return next(iter(tasks.values()))


def _near(asked: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(asked, known, n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def _ids(loaded: LoadedSuite, name: str, task: Task, docs: tuple[dict[str, Any], ...]) -> tuple[str, ...]:
    """The named field, or a hash of the document; equal documents are told apart by their position."""
    if task.id is not None:
        missing = next((index for index, doc in enumerate(docs) if task.id not in doc), None)
        if missing is not None:
            raise problem(str(loaded.path), f"tasks.{name}.id", f"document {missing} has no field {task.id!r}")
        ids = [str(doc[task.id]) for doc in docs]
    else:
        ids = [hashlib.sha256(json.dumps(doc, sort_keys=True, default=str).encode()).hexdigest()[:16] for doc in docs]
    seen: dict[str, int] = {}
    unique = []
    for each in ids:
        seen[each] = seen.get(each, 0) + 1
        unique.append(each if seen[each] == 1 else f"{each}#{seen[each]}")
    return tuple(unique)
