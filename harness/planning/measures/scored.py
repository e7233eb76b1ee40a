"""Somebody's function that scores answers, called with care.

What it raises, what is no finite number, and what takes over a minute makes the answer one that could not be scored:
never a zero. It gets its own copy of the row, what it prints goes to the standard error stream, and a sample of the
answers is scored twice, so that a function that draws or remembers is found.
"""

from __future__ import annotations

import contextlib
import copy
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from zlib import crc32

from harness.planning.measures.answered import Answered, Measure, ScoreError
from harness.planning.ties import number

LIMIT_S = 60.0
"""Seconds that one answer may take."""
TWICE_IN = 16
"""One answer in so many is scored twice."""
SHOWN = 200
Numbers = Mapping[str | None, float]
"""By key; under None where a function gives one number."""


@dataclass(kw_only=True)
class Scored:
    """A function with its last result, so that the metrics of one mapping cost one call."""

    shown: str
    """Its name for messages."""
    function: Callable[..., object]
    """Of answer, references and row, to a number or a mapping of numbers."""
    limit_s: float = LIMIT_S
    _last: tuple[Answered, Numbers] | None = field(default=None, init=False)

    def __call__(self, answered: Answered) -> Numbers:
        """Raises `ScoreError`."""
        if self._last is not None and self._last[0] is answered:
            return self._last[1]
        found = self._once(answered)
        if (
            crc32(answered.answer.encode("utf-8", "replace")) % TWICE_IN == 0
            and (again := self._once(answered)) != found
        ):
            raise ScoreError(
                f"{self.shown} gave {_written(found)} and then {_written(again)} for the same answer: it draws or "
                "remembers, so that its scores cannot be compared"
            )
        self._last = (answered, found)
        return found

    def measure(self, part: str | None) -> Measure:
        """The metric of one of its numbers."""

        def measure(answered: Answered) -> float:
            found = self(answered)
            if part not in found:
                had = "one number" if None in found else ", ".join(map(repr, found))
                missing = "one number" if part is None else repr(part)
                raise ScoreError(f"{self.shown} gave {had} here, and {missing} for the first item")
            return found[part]

        return measure

    def _once(self, answered: Answered) -> Numbers:
        row = copy.deepcopy(dict(answered.row))
        try:
            with contextlib.redirect_stdout(sys.stderr), limited(self.limit_s):
                found = self.function(answered.answer, list(answered.references), row)
        except KeyboardInterrupt:
            raise
        except TimeoutError as error:
            raise ScoreError(f"{self.shown} took {error or 'too long'}") from error
        except BaseException as error:  # somebody's function: it may raise anything, and call sys.exit
            raise ScoreError(f"{self.shown} raised {raised(error)}") from error
        return self._numbers(found)

    def _numbers(self, found: object) -> Numbers:
        parts = found if isinstance(found, Mapping) else {None: found}
        if not parts:
            raise ScoreError(f"{self.shown} gave an empty mapping; expected a number for each key")
        values: dict[str | None, float] = {}
        for part, value in parts.items():
            one = number(value)
            if one is None or not math.isfinite(one) or not isinstance(part, str | None):
                where = "" if part is None else f" for {part!r:.40}"
                raise ScoreError(f"{self.shown} gave {value!r:.60}{where}; expected a finite number")
            values[part] = one
        return values


def raised(error: BaseException) -> str:
    """An exception in a line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:SHOWN].rstrip(": ")


def _written(found: Numbers) -> str:
    return str(found[None]) if None in found else str(dict(found))[:SHOWN]


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises TimeoutError inside after so long, where signals reach this thread."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def over(*_: object) -> None:
        raise TimeoutError(f"over {seconds:g} s for one answer")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
