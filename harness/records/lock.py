"""Locks of the results folder. Owns the message for one that is held elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from harness.errors import RecordError, RunError
from harness.notation import duration
from harness.records.files import write_atomically

WAIT_S = 60.0
"""How long a short write waits for the lock."""


@contextmanager
def held_for_a_run(root: Path) -> Iterator[None]:
    """Hold a results folder for one run. Raises `RunError` at once when another run holds it, or it cannot be held."""
    lock, owner = FileLock(root / ".lock", timeout=0), root / ".lock.owner"
    try:
        _acquire(lock)
    except Timeout:
        who = ""
        with suppress(OSError):  # it may end just now
            who = owner.read_text(errors="replace").strip()
        raise RunError(
            f"{root}: in use by {who or 'another process'}. Wait for it, or choose another folder with --results."
        ) from None
    try:
        with suppress(RecordError):  # only so that the next process can name this one
            write_atomically(owner, f"quantgate run, process {os.getpid()} on {os.uname().nodename}".encode())
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


@contextmanager
def held_for_a_write(folder: Path, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold a folder while a file in it is read, changed and written again. Waits for the lock; raises `RunError` on a
    timeout."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unlockable(folder, error) from error
    lock = FileLock(folder / ".lock", timeout=wait_s)
    try:
        _acquire(lock)
    except Timeout:
        raise RunError(f"{folder}: another process has been writing for {duration(wait_s)}; try again later.") from None
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock) -> None:
    try:
        lock.acquire()
    except Timeout:
        raise
    except OSError as error:
        raise _unlockable(Path(lock.lock_file), error) from error


def _unlockable(path: Path, error: OSError) -> RunError:
    reason = "it is a link, which quantgate does not follow" if path.is_symlink() else error.strerror or str(error)
    return RunError(f"{path}: cannot be locked: {reason}. Remove it, or choose another folder with --results.")
