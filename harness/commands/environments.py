"""`quantgate env`: list, build, remove, path."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.errors import EngineError, UsageError
from harness.worker.environments import Environment, shipped


def print_environments() -> None:
    """A line an environment: name, whether it is built, what it is for."""
    from harness.runner.interpreters import environments

    store = environments()
    for name, environment in shipped().items():
        python = store.python(environment)
        state = "built" if python is not None else "half built" if store.folder(environment).exists() else "not built"
        print(f"{name:<16}{state:<12}{environment.says}")
    print(f"\nin {store.root}")


def build(name: str) -> None:
    """Build one by name, or all that a suite needs."""
    from harness.runner.interpreters import environments, refuse_without_gpu

    store = environments()
    for environment in _asked(name):
        refuse_without_gpu(environment)
        print(store.build(environment, lambda text: print(text, file=sys.stderr, flush=True)))


def remove(name: str) -> None:
    from harness.runner.interpreters import environments

    for environment in _asked(name):
        removed = environments().remove(environment)
        print(f"{environment.name}: {'removed' if removed else 'was not built'}")


def print_path(name: str) -> None:
    """The interpreter of a built environment."""
    from harness.runner.interpreters import environments

    for environment in _asked(name):
        python = environments().python(environment)
        if python is None:
            raise EngineError(f"environment {environment.name} is not built: `quantgate env build {name}`")
        print(python)


def _asked(name: str) -> list[Environment]:
    """By shipped name, or those of a suite's variants."""
    if name in shipped():
        return [shipped()[name]]
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{name}: no such environment; expected a suite file or one of {', '.join(shipped())}")
    from harness.runner.interpreters import needed_environments
    from harness.suite.load import load_suite

    unknown: list[str] = []
    found = needed_environments(load_suite(path), unknown.append)
    for line in unknown:
        print(line, file=sys.stderr)
    if unknown and not found:
        raise EngineError(f"{name}: none of its other variants needs an environment of its own")
    if not found:
        raise UsageError(f"{name}: its variants need no environment of their own")
    return found
