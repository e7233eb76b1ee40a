"""Limits of time, and which tests are quick.

A test that takes too long fails by name, and the run goes on to its summary. pytest-timeout interrupts a test at its
limit. Where nothing can interrupt it, as in native code that waits for a lock, a watchdog ends the whole process a
little later: pytest-xdist then says in which test, and starts another.

`-m quick` reads the files of `QUICK` alone, so that no model library is imported for a test that is not run.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.engines.served.fake import FakeServer, Pages

if TYPE_CHECKING:
    from tests.environments import Interpreter

ROOT = Path(__file__).parent
LONG_S = 2700
"""Limit of a test that is `slow` or needs the `model` and says no other; of all else, pyproject.toml's `timeout`."""
LONG = ("slow", "model")
QUICK = (
    "checkpoints", "comparison", "datafiles", "derivations", "explanations", "exports", "forecast", "forms", "gates",
    "golden", "imports", "metrics", "records", "reports", "samples", "stats", "suite", "trends", "test_architecture.py",
    "test_demo_data.py", "test_errors.py", "test_notation.py", "test_prose.py", "test_shown.py",
)  # fmt: skip
"""Rooms and files whose tests load no model and start no worker, but for what is marked."""
NOT_QUICK = ("slow", "model", "environment", "thorough", "fault")
STDERR = pytest.StashKey[int]()
"""Standard error as it is while nothing is captured."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STDERR] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[STDERR])


def quick_place(path: Path) -> bool:
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in QUICK


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What cannot be quick is not even imported; None leaves it to the others to say."""
    asked = config.option.markexpr == "quick" and collection_path.is_relative_to(ROOT) and collection_path != ROOT
    return True if asked and not quick_place(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "interpreter" in getattr(item, "fixturenames", ()):
            item.add_marker("environment")
        if quick_place(item.path) and not any(map(item.get_closest_marker, NOT_QUICK)):
            item.add_marker("quick")
        if item.get_closest_marker("timeout") is None and any(map(item.get_closest_marker, LONG)):
            item.add_marker(pytest.mark.timeout(LONG_S))


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    """The Python of an environment by its name. Whoever asks for it carries the mark `environment`."""
    from tests.environments import built

    return built


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """The watchdog needs neither a signal nor the interpreter."""
    limit = limit_s(item)
    faulthandler.dump_traceback_later(limit + max(5, limit / 10), exit=True, file=item.config.stash[STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def limit_s(item: pytest.Item) -> float:
    """Seconds that pytest-timeout allows a test."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0] if marker is not None else item.config.getini("timeout"))


@pytest.fixture
def serve() -> Iterator[Callable[[Pages], FakeServer]]:
    """Starts fake servers and stops them."""
    with ExitStack() as running:
        yield lambda pages: running.enter_context(FakeServer(pages))
