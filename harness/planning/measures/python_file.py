"""`metric: metrics.py:score`: a function in a Python file beside the suite, run only where the suite allows it.

Its hash, and that of the local files that it imports, is part of the task's identity.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

from harness.datafiles.rows import problem
from harness.errors import QuantgateError
from harness.metrics.table import METRICS
from harness.planning.lm_eval.task_files import refresh, task_files
from harness.planning.measures.answered import Answered, Measures, ScoreError
from harness.planning.measures.scored import LIMIT_S, Scored, limited, raised
from harness.suite.load import LoadedSuite
from harness.suite.locations import resolve_file
from harness.suite.metric_names import PythonMetric


def python_measures(loaded: LoadedSuite, asked: PythonMetric, first: Answered, key: str) -> Measures:
    """The metrics of a function: one where it gives a number, one for each key where it gives a mapping.

    `first`: the first item with its reference as the answer, which tells what the function gives. Raises `SuiteError`.
    """
    path = resolve_file(loaded, asked.file)
    if not path.is_file():
        raise problem(loaded.shown, key, f"{asked.file}: no such file")
    files = task_files(path)
    refresh(files)
    function = _function(_module(loaded, path, asked, key), asked, loaded, key)
    scored = Scored(shown=asked.written, function=function)
    try:
        found = scored(first)
    except ScoreError as error:
        raise problem(loaded.shown, key, f"{error}, on the first item with its reference as the answer") from error
    names = {part: asked.function if part is None else f"{asked.function}.{part}" for part in found}
    for part, name in names.items():
        _check_name(loaded, name, part, key)
    return Measures(
        by_name={name: scored.measure(part) for part, name in names.items()},
        lower_is_better=frozenset(_lower(function, names, asked, loaded, key)),
        facts={asked.written: _hash(files, path), "python": f"{sys.version_info.major}.{sys.version_info.minor}"},
    )


def _module(loaded: LoadedSuite, path: Path, asked: PythonMetric, key: str) -> ModuleType:
    """The file as a module, with its folder on the path while it is imported. Raises `SuiteError`."""
    name = f"quantgate_metric_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise problem(loaded.shown, key, f"{asked.file}: expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        with contextlib.redirect_stdout(sys.stderr), limited(LIMIT_S):
            spec.loader.exec_module(module)
    except (KeyboardInterrupt, QuantgateError):
        raise
    except BaseException as error:
        del sys.modules[name]
        raise problem(loaded.shown, key, f"{asked.file} could not be imported: {raised(error)}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _function(module: ModuleType, asked: PythonMetric, loaded: LoadedSuite, key: str) -> Callable[..., object]:
    """Raises `SuiteError` for one that is not there or does not take answer, references and row."""
    function = getattr(module, asked.function, None)
    if not callable(function):
        own = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        known = f"; it has {', '.join(own)}" if own else ""
        raise problem(loaded.shown, key, f"{asked.file} has no function {asked.function!r}{known}")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise problem(loaded.shown, key, f"{asked.written}: expected a plain function, not one with async or yield")
    with contextlib.suppress(ValueError):  # a builtin shows no signature
        try:
            inspect.signature(function).bind("", [], {})
        except TypeError as error:
            says = f"{asked.written}: expected a function of (answer, references, row): {error}"
            raise problem(loaded.shown, key, says) from error
    found: Callable[..., object] = function
    return found


def _check_name(loaded: LoadedSuite, name: str, part: str | None, key: str) -> None:
    if name in METRICS:
        raise problem(loaded.shown, key, f"{name} is a metric of quantgate's: call the function something else")
    if part is not None and not part.isidentifier():
        raise problem(loaded.shown, key, f"{name}: expected keys that are names (letters, digits, _), got {part!r:.40}")


def _lower(
    function: Callable[..., object],
    names: Mapping[str | None, str],
    asked: PythonMetric,
    loaded: LoadedSuite,
    key: str,
) -> Iterator[str]:
    """The metrics of which less is better, by the function's attribute `higher_is_better`."""
    declared = getattr(function, "higher_is_better", True)
    if isinstance(declared, bool):
        declared = dict.fromkeys(names, declared)
    wrong = not isinstance(declared, Mapping) or not all(isinstance(each, bool) for each in declared.values())
    if wrong or not set(declared) <= set(names):
        known = ", ".join(str(part) for part in names if part is not None)
        says = f"expected true or false{f', or a mapping of {known} to them' if known else ''}, got {declared!r:.80}"
        raise problem(loaded.shown, key, f"{asked.written}.higher_is_better: {says}")
    yield from (name for part, name in names.items() if not declared.get(part, True))


def _hash(files: tuple[Path, ...], main: Path) -> str:
    """Of the file and of the local files that it imports."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.path.relpath(file, main.resolve().parent).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
