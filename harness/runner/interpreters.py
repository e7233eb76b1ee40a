"""Which interpreter a variant runs in, and which one makes its checkpoint.

`check`, `run` and `env build` ask the same functions, so that they say the same of a suite.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from harness.checkpoints.contents import cache_folder
from harness.errors import EngineError, SuiteError
from harness.methods.base import Method
from harness.runner.loader_libraries import Source, reader_of, revision_of
from harness.suite.load import LoadedSuite
from harness.suite.locations import expand, resolve_model
from harness.suite.variant_model import Variant
from harness.worker.environments import Environment, Environments, from_requirements, shipped
from harness.worker.versions import gpu_count, library_versions


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """An interpreter; None is the one that runs quantgate."""

    interpreter: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    method: Method | None = None
    """Whose libraries read the variant's weights."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of Python, and of the libraries that load and run a variant: part of what its results are stored under."""


def environments() -> Environments:
    return Environments(cache_folder() / "environments")


def loading(loaded: LoadedSuite, variant: Variant, source: Source | None) -> Runtime:
    """Where a variant is loaded. `source`: its weights; None where they are still to be made, or not to be found.

    Without a named environment: here, when the libraries it needs are here; else in the shipped one that has them.
    Raises `EngineError` when that is not built, with how to build it, for what is no interpreter, and for a checkpoint
    whose configuration cannot be read.
    """
    asked = variant.environment
    path = _interpreter(loaded, asked) if isinstance(asked, str) and asked not in shipped() else None
    reader = reader_of(variant, source)
    if path is not None:
        runtime = Runtime(interpreter=path, name=str(asked))
    else:
        environment = _environment(loaded, variant, reader.method)
        runtime = built(environment) if environment is not None else Runtime()
    packages = (*variant.engine_row.packages, *reader.packages)
    try:
        versions = library_versions(packages, runtime.interpreter)
    except EngineError as error:
        raise EngineError(error.says, about=f"environment {runtime.name}") from error
    return replace(runtime, method=reader.method, versions=versions)


def making(method: Method, block: Mapping[str, object]) -> Runtime:
    """Where a method's checkpoint is made. Raises `EngineError` when that environment is not built."""
    tool = next(tool for tool in method.tools if block.get("tool") in (None, tool.name))
    return Runtime() if _here(tool.packages) else built(shipped()[tool.environment])


def needed_environments(loaded: LoadedSuite, say: Callable[[str], None]) -> list[Environment]:
    """The environments that a suite's variants name, or need for what is not installed here.

    `say` gets a note for a variant whose weights cannot be inspected, so that its loader is unknown.
    """
    found: dict[str, Environment] = {}
    for name, variant in loaded.suite.variants.items():
        needs = [_loads_in(loaded, name, variant, say)]
        if variant.quantize is not None:
            tool = variant.quantize.row.tool(variant.quantize.block())
            needs.append(shipped()[tool.environment] if tool is not None and not _here(tool.packages) else None)
        found.update({each.key: each for each in needs if each is not None})
    return list(found.values())


def refuse_without_gpu(environment: Environment) -> None:
    """Raises `EngineError` for an environment that this machine has no GPU for."""
    if environment.needs_cuda and gpu_count() == 0:
        raise EngineError(f"environment {environment.name} needs a CUDA GPU, and none is visible here")


def _loads_in(loaded: LoadedSuite, name: str, variant: Variant, say: Callable[[str], None]) -> Environment | None:
    """The environment a variant is loaded in; None for none, and for one that is unknown."""
    asked = variant.environment
    if isinstance(asked, str) and asked not in shipped():
        return None
    source = None
    try:
        if asked is None and variant.quantize is None and variant.engine_row.named_readers:
            key = f"variants.{name}.path" if variant.path is not None else "model"
            place = resolve_model(loaded, variant.path or loaded.suite.model, key)
            source = Source(place=place, revision=revision_of(loaded.suite, variant))
        return _environment(loaded, variant, reader_of(variant, source).method)
    except SuiteError as error:
        say(f"{name}: {error.problems[0].message}; which library loads it is not known before")
    except EngineError as error:
        say(f"{name}: {error}")
    return None


def _environment(loaded: LoadedSuite, variant: Variant, method: Method | None) -> Environment | None:
    """The environment that a variant names or needs; None for the interpreter that runs quantgate."""
    asked = variant.environment
    if isinstance(asked, tuple):
        return from_requirements(asked, suite=shlex.quote(loaded.shown))
    if asked is not None:
        return shipped()[asked]
    row = variant.engine_row
    if row.environment is not None:
        return None if _here(row.packages) else shipped()[row.environment]
    if method is None or method.environment is None or _here(method.packages):
        return None
    return shipped()[method.environment]


def _interpreter(loaded: LoadedSuite, asked: str) -> Path:
    """The interpreter at a path, or in a virtual environment there. Raises `EngineError`."""
    path = Path(expand(asked))
    path = path if path.is_absolute() else loaded.folder / path
    python = path / "bin" / "python" if path.is_dir() else path
    if not python.exists():
        known = ", ".join(shipped())
        raise EngineError(f"environment {asked}: no such interpreter, and not one of those that ship: {known}")
    return python


def _here(packages: tuple[str, ...]) -> bool:
    try:
        return all(find_spec(name) is not None for name in packages)
    except ModuleNotFoundError:  # the parent of a dotted name
        return False


def built(environment: Environment) -> Runtime:
    """The runtime of an environment. Raises `EngineError` when it is not built, or needs a GPU that is not here."""
    refuse_without_gpu(environment)
    python = environments().python(environment)
    if python is None:
        command, minutes = f"`quantgate env build {environment.asked}`", environment.minutes
        raise EngineError(f"needs environment {environment.shown}, not built here: {command} (about {minutes} min)")
    return Runtime(interpreter=python, variables=environment.variables, name=environment.name)
