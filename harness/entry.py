"""The process behind the command line: what its exit code is, whatever happens.

Owns signals, the standard streams, room for the libraries and the last resort for errors. The codes are 0, 10, 11, 12
(verdicts), 2 (a user's mistake), 3 (it could not be done), 130 and 143 (stopped). 1 is never returned.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress

from harness.errors import ExitCode, QuantgateError, unwritable
from harness.output import hold_standard_streams, install
from harness.shown import showable

CODES = frozenset(int(each) for each in ExitCode)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
TOO_LITTLE = {
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.ENFILE: "the system has too many open files",
    errno.ENOMEM: "memory ran out: raise the limit (ulimit -v) or free some",
    errno.EAGAIN: "no further process or thread may be started: raise the limit (ulimit -u)",
}
"""How a limit of the system is reported."""
MEMORY_WORDS = ("cannot allocate memory", "failed to map segment", "can't start new thread", "can't allocate")
LEAST_BYTES = 700 << 20
"""Address space that has to be left where it is limited: below it numpy's linear algebra waits for ever."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM; everything on the way up cleans up. Not a `KeyboardInterrupt`: typer makes that an exit."""

    def __init__(self, by: int) -> None:
        self.by = by


def _stop(number: int, frame: object) -> None:
    del frame
    raise Stopped(number)


def main() -> None:
    """Entry point. Known errors become a message and their exit code; Ctrl-C is 130, SIGTERM 143; a crash is never a
    verdict."""
    hold_standard_streams()
    install()
    code = int(ExitCode.RUN)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, _stop)
        code = _result(_command)
    except Stopped as stopped:  # while an error was being told
        code = 128 + stopped.by
    finally:
        _stop_no_more()
        sys.exit(_flushed(code))


def _command() -> int:
    _make_room()
    from harness.cli import app

    try:
        app()
    except SystemExit as ended:
        if ended.code is None:
            return 0
        return ended.code if isinstance(ended.code, int) and ended.code in CODES else int(ExitCode.RUN)
    return 0


def _result(command: Callable[[], int]) -> int:
    try:
        return command()
    except QuantgateError as error:
        _say(str(error))
        return int(error.exit_code)
    except Stopped as stopped:
        return _say_goodbye(stopped.by)
    except Exception as error:  # noqa: BLE001  # the last resort: a crash must not look like a verdict
        _crash(error)
        return int(ExitCode.RUN)


def _say(text: str) -> None:
    sys.stderr.write(f"{showable(text)}\n")


def _flushed(code: int) -> int:
    """Flush the buffers now, while a failure can still be reported."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except QuantgateError as error:
            with suppress(OSError, ValueError):
                _say(str(error))
                sys.stderr.flush()
            code = int(error.exit_code)
    return code


def _stop_no_more() -> None:
    """The exit code is decided; a signal while Python winds up would change it or print a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _say_goodbye(by: int) -> int:
    """Stopped by a person or the system, which is no crash."""
    _stop_no_more()
    again = "the same command without --fresh" if "--fresh" in sys.argv else "the same command"
    resumes = f"; what was measured is stored, {again} goes on from there" if sys.argv[1:2] == ["run"] else ""
    _say(f"stopped{resumes}")
    return 128 + by


def _make_room() -> None:
    """Raises `QuantgateError` where the address space is limited so far that the libraries could not be loaded."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each of its threads takes address space when it is loaded
    try:
        mmap.mmap(-1, LEAST_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ).close()
    except (OSError, ValueError, MemoryError):
        raise QuantgateError(
            f"the address space is limited to {limit >> 20:,} MiB (ulimit -v), and {LEAST_BYTES >> 20:,} MiB have to "
            "be left for the libraries; raise it, or limit memory in another way (a control group)"
        ) from None


def _crash(error: Exception) -> None:
    """A limit of the system is reported as one, and so is an unreadable file; anything unforeseen shows its
    traceback."""
    if (says := _limit(error)) is not None:
        _say(says)
        return
    import traceback

    _say("".join(traceback.format_exception(error)))
    _say("this is a bug in quantgate, not a verdict on a model")


def _limit(error: BaseException) -> str | None:
    """What stopped the work, where it is no mistake of quantgate's."""
    if isinstance(error, OSError):
        return _system(error)
    if isinstance(error, MemoryError):
        return "memory ran out: raise the limit (ulimit -v) or free some, then run the same command again"
    if isinstance(error, RecursionError):
        return "something that was read is nested deeper than can be followed: a record or data that was made by hand?"
    text = str(error).lower()
    if isinstance(error, ImportError | RuntimeError) and any(words in text for words in MEMORY_WORDS):
        return f"a limit of the system was reached: {error}"
    return _limit(error.__cause__) if error.__cause__ is not None else None


def _system(error: OSError) -> str | None:
    if error.errno in NO_ROOM or "No usable temporary directory" in str(error):
        return unwritable(error.filename or "a temporary file", error)
    if error.errno in TOO_LITTLE:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{TOO_LITTLE[error.errno]}, then run the same command again"
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else None
