"""Atomic file writes. Owns how a file is written and which system errors become `RecordError`.

Also the checksums of hidden states, which the worker writes and which are too large to read needlessly.
"""

from __future__ import annotations

import hashlib
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


_right: set[tuple[str | None, int, int, int, int, int]] = set()
"""Checksums, and which file of what age was found to have them in this process: two hundred variants measure from the
same states."""


def file_sums(folder: Path) -> dict[str, str]:
    """Name to SHA-256 of every file in a folder; empty where there is no such folder."""
    return {path.name: _file_hash(path) for path in sorted(folder.glob("[!.]*")) if path.is_file()}


def check_file(path: Path, checksum: str | None) -> None:
    """Raises `RecordError` unless the file has this checksum; None is a file that was not there."""
    try:
        facts = path.stat()
    except OSError as error:
        raise _again(path, error.strerror or str(error)) from error
    same = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
    if checksum is not None and (checksum, *same) in _right:
        return
    if _file_hash(path) != checksum:
        raise _again(path, "does not match its checksum")
    _right.add((checksum, *same))


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def _again(path: Path, why: str) -> RecordError:
    return RecordError(f"{path}: the baseline's stored states cannot be read: {why}. Run the suite again with --fresh.")
