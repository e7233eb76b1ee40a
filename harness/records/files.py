"""Atomic file writes. Owns how a file is written and which system errors become `RecordError`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.errors import RecordError, unwritable


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that `path` is either the old file or the whole new one, also after a power cut.

    Raises `RecordError` when the disk is full or the folder cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise RecordError(unwritable(path, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)  # gone by then, unless the write failed or was interrupted


def read_whole(path: Path) -> bytes | None:
    """The file's content; None where there is no such file. Raises `RecordError` when it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> RecordError:
    return RecordError(f"{path}: could not be read: {error.strerror or error}")
