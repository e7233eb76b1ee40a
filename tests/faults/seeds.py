"""Faults that tests seed, by their `fault` marks, and what became of them.

What is seeded comes from collecting, what became of it from the reports: a test that ends its process is in the first
and fails in the second.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Literal

import pytest

Outcome = Literal["caught", "not caught", "not tried"]


@dataclass(frozen=True, kw_only=True)
class Seed:
    """A fault that is seeded: one row of a report, or a kind."""

    row: str
    seeded: str
    told: str = ""
    tests: tuple[str, ...] = ()
    """Node ids; a test with parameters has several."""
    outcome: Outcome = "not tried"
    why: str = ""
    """Why it was not tried, or which tests failed."""

    @property
    def key(self) -> tuple[str, str]:
        return self.row, self.seeded


class Collected:
    """The marks of all tests, as pytest collects them."""

    def __init__(self) -> None:
        self.seeds: dict[tuple[str, str], Seed] = {}
        self.wrong: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for mark in item.iter_markers("fault"):
                try:
                    found = seed_of(*mark.args, **mark.kwargs)
                except TypeError as error:
                    self.wrong.append(f"{item.nodeid}: {error}")
                    continue
                known = self.seeds.get(found.key, found)
                told = known.told or found.told
                self.seeds[found.key] = replace(known, told=told, tests=(*known.tests, item.nodeid))


def seed_of(row: str, seeded: str, told: str = "") -> Seed:
    """A mark's arguments."""
    return Seed(row=row, seeded=seeded, told=told)


class Reported:
    """What became of each test."""

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.passed: set[str] = set()
        self.skipped: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.skipped:
            told = report.longrepr
            self.skipped[report.nodeid] = str(told[2] if isinstance(told, tuple) else "expected to fail")
        elif report.when == "call":
            self.passed.add(report.nodeid)


def collected(arguments: Sequence[str] = ()) -> list[Seed]:
    """Everything that is seeded, in the order of rows and kinds. Raises `SystemExit` for what cannot be collected."""
    found, said = Collected(), io.StringIO()
    with redirect_stdout(said):
        code = pytest.main(["--collect-only", "-qq", "-m", "fault", *arguments], plugins=[found])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(f"{said.getvalue()}\ntests could not be collected: pytest ended with {code}")
    if found.wrong:
        raise SystemExit(
            "fault marks take a row or kind, what was seeded, and how it is told:\n" + "\n".join(found.wrong)
        )
    return sorted(found.seeds.values(), key=lambda seed: (order(seed.row), seed.seeded))


def order(row: str) -> tuple[int, str, int, str]:
    """Rows by their letter and number, then kinds by name."""
    letters, digits = row.rstrip("abcdefgh0123456789"), "".join(filter(str.isdigit, row))
    if len(letters) == 1 and digits:
        return 0, letters, int(digits), row
    return 1, row, 0, ""


def judged(seeds: Sequence[Seed], reported: Reported) -> list[Seed]:
    """Each with its outcome. One failed test is enough for a fault not to be caught, and one that never reported too;
    tests that were all skipped show nothing."""
    return [_judged(seed, reported) for seed in seeds]


def _judged(seed: Seed, reported: Reported) -> Seed:
    done = reported.failed | reported.passed | reported.skipped.keys()
    failed = [test for test in seed.tests if test in reported.failed or test not in done]
    if failed:
        return replace(seed, outcome="not caught", why=", ".join(failed))
    if any(test in reported.passed for test in seed.tests):
        return replace(seed, outcome="caught")
    return replace(seed, outcome="not tried", why=reported.skipped[seed.tests[0]].removeprefix("Skipped: "))
