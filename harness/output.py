"""Standard output and standard error of the command line: the one place where anything is printed.

Whatever reaches them, by whichever way, is foreign text made harmless: no control character but line breaks and tabs
(on a terminal also rich's colours and cursor), no line that a CI's log reader takes for a command, no secret. A reader
that went away is no error; a full disk behind standard output is one, with its name.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from pathlib import Path
from typing import TextIO

from harness.errors import RunError
from harness.masking import masked
from harness.shown import showable, without_line_commands

_STYLE = re.compile("\x1b\\[[0-9;?]*[A-Za-z]|\r")
"""What rich writes on a terminal: colours, and the cursor of a progress bar."""
NAMES = {1: "standard output", 2: "standard error"}


class OutputError(RunError):
    """Standard output could not be written."""


class Printed(io.TextIOBase):
    """A stream in place of `sys.stdout` or `sys.stderr`. See the module's text."""

    def __init__(self, inner: TextIO, number: int) -> None:
        self.inner, self._number = inner, number
        self.gone = False
        """Whether nobody reads on; what is written from then on goes nowhere."""
        self._at_start = True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.inner.encoding or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.inner.errors

    def isatty(self) -> bool:
        return self.inner.isatty()

    def fileno(self) -> int:
        return self.inner.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"expected a string, got {type(text).__name__}")
        self.raw(self._harmless(text))
        return len(text)

    def raw(self, text: str) -> None:
        """Text of our own, commands included."""
        if self.gone or not text:
            return
        try:
            self.inner.write(text)
        except (OSError, ValueError) as error:
            self._failed(error)
        self._at_start = not text.rpartition("\n")[2].strip() and (self._at_start or "\n" in text)

    def flush(self) -> None:
        if self.gone:
            return
        try:
            self.inner.flush()
        except (OSError, ValueError) as error:
            self._failed(error)

    def _harmless(self, text: str) -> str:
        text = masked(text)
        if self.isatty():
            parts = _STYLE.split(text)
            styles = [*_STYLE.findall(text), ""]
            text = "".join(showable(part) + style for part, style in zip(parts, styles, strict=True))
        else:
            text = showable(text)
        return without_line_commands(text, at_start=self._at_start)

    def _failed(self, error: OSError | ValueError) -> None:
        """Nothing goes there any more: what is left in the buffer would fail again when Python winds up."""
        self.gone = True
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._number)
            os.close(nowhere)
        except OSError:
            pass
        if self._number == 2 or isinstance(error, ValueError) or error.errno == errno.EPIPE:
            return
        raise OutputError(f"{NAMES[self._number]}: could not be written: {error.strerror or error}") from error


def hold_standard_streams() -> None:
    """A standard stream that is closed becomes nowhere: the next file opened would take its number, and with it
    whatever a library prints."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)


def install() -> None:
    """Put both streams in place. A terminal without Unicode shows a question mark, not a traceback."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if isinstance(stream, Printed):
            continue
        if stream is None:
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
        setattr(sys, name, Printed(stream, number))


def commands(text: str) -> None:
    """Print text of our own that a CI's log reader shall act on."""
    stream = sys.stdout
    if isinstance(stream, Printed):
        stream.raw(text)
    else:
        stream.write(text)


def is_gone() -> bool:
    """Whether nobody reads standard output any more, so that there is no point in going on printing."""
    return isinstance(sys.stdout, Printed) and sys.stdout.gone
