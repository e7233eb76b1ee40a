"""The error tree and the exit codes. Owns what a failure is called, and how foreign text is quoted in it."""

from __future__ import annotations

import re
import traceback
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from harness.masking import redact_within
from harness.shown import name_in_line


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
        parts = (self.place, self.key, self.message)
        return ": ".join(redact_within(name_in_line(part)) for part in parts if part)


class SuiteError(QuantgateError):
    """The suite, or data it names, is wrong. Carries every problem found, not only the first."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class RunError(QuantgateError):
    """The run could not be done, through no fault of a model. `about`: whose error it is, a variant or a file, which
    stands before `says` where it is shown."""

    def __init__(self, says: str, *, about: str | None = None) -> None:
        self.says, self.about = says, about
        super().__init__(says if about is None else f"{about}: {says}")


class RecordError(RunError):
    """A stored record cannot be read, does not match its checksum, or could not be written."""


def unwritable(path: object, error: OSError) -> str:
    """The message for a file that could not be written, most often because the disk is full."""
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


TELLS = re.compile(
    r"size mismatch|shape mismatch|[A-Za-z]+Error: |missing key|unexpected key|not supported|no such file",
    re.IGNORECASE,
)
"""What the line that tells has in it, where the first is only a title."""
TITLE = re.compile(r"(error\(s\)|one of|following|for details)[^.]*$|[:;]$", re.IGNORECASE)
"""A first line that announces what follows it."""
MOST = 400
"""Letters of a telling line."""


def telling(error: BaseException) -> str:
    """The line of an exception's text that says what is wrong, never empty.

    A first line that only announces (`Error(s) in loading state_dict for X:`) is joined with the line that tells. An
    exception without a text is named by its type and the place that raised it.
    """
    lines = [line for line in (" ".join(line.split()) for line in _text(error).splitlines()) if line]
    if not lines:
        return f"{type(error).__name__} without a text, {_place(error)}"
    first, rest = lines[0], lines[1:]
    if rest and TITLE.search(first):
        best = next((line for line in rest if TELLS.search(line)), None)
        first = f"{first} {best}" if best is not None else " ".join(lines)
    if isinstance(error, KeyError | AssertionError | AttributeError | TypeError | IndexError):
        first = f"{type(error).__name__}: {first}"
    return first if len(first) <= MOST else f"{first[: MOST - 2]} …"


def named(error: BaseException) -> str:
    """The telling line behind the exception's type."""
    said, kind = telling(error), type(error).__name__
    return said if said.startswith(kind) else f"{kind}: {said}"


def _text(error: BaseException) -> str:
    """What it says; a KeyError's is the bare key, not its repr with line breaks escaped."""
    if isinstance(error, KeyError) and len(error.args) == 1:
        return str(error.args[0])
    text = str(error)
    return text if re.search(r"\w", text) else ""


def _place(error: BaseException) -> str:
    """Function, file and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "raised by no code that can be named"
    last = frames[-1]
    return f"raised by {last.name} ({Path(last.filename).name}:{last.lineno})"
