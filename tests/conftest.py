"""Limits of time: a test that takes too long fails by name, and the run goes on to its summary.

pytest-timeout interrupts a test at its limit. Where nothing can interrupt it, as in native code that waits for a lock,
a watchdog ends the whole process a little later: pytest-xdist then says in which test, and starts another.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest

from harness.engines.served.fake import FakeServer, Pages

LONG_S = 2700
"""Limit of a test that is `slow` or needs the `model` and says no other; of all else, pyproject.toml's `timeout`."""
LONG = ("slow", "model")
STDERR = pytest.StashKey[int]()
"""Standard error as it is while nothing is captured."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STDERR] = os.dup(2)


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[STDERR])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("timeout") is None and any(map(item.get_closest_marker, LONG)):
            item.add_marker(pytest.mark.timeout(LONG_S))


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
