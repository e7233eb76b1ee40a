"""The error tree and the exit codes. Owns what a failure is called; imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns. 1 is never used, so that a crash cannot be read as a verdict."""

    PASS = 0
    USAGE = 2
    RUN = 3
    FAIL = 10
    INCONCLUSIVE = 11
    INVALID = 12


class QuantgateError(Exception):
    """Anything quantgate tells a person about instead of crashing."""

    exit_code: ExitCode = ExitCode.RUN


class UsageError(QuantgateError):
    """The command line or an argument is wrong."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with a suite or its data: where, which key, what was expected and what came."""

    place: str
    """`file` or `file:line:column`."""
    key: str
    """Dotted path such as `gates[1].max_drop`; empty when the file as a whole is meant."""
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.key, self.message) if part)


class SuiteError(QuantgateError):
    """The suite, or data it names, is wrong. Carries every problem found, not only the first."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class RunError(QuantgateError):
    """The run could not be done, through no fault of a model."""


class RecordError(RunError):
    """A stored record cannot be read, does not match its checksum, or could not be written."""


def unwritable(path: object, error: OSError) -> str:
    """What a person is told about a file that could not be written, a full disk above all."""
    return (
        f"{path}: could not be written: {error.strerror or error}. What was stored before is kept: "
        "make room there or correct its permissions, then run the same command again to go on."
    )


class WorkerError(RunError):
    """A worker process died, hung or broke the protocol."""


class WorkerMemoryError(WorkerError):
    """The system killed a worker because memory ran out."""


class EngineError(RunError):
    """An engine could not load or run a model; the message says which and why."""
