"""A folder that is there as a whole or not at all. Owns what an export may write to: nothing that somebody filled."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from harness.errors import RecordError, UsageError, unwritable
from harness.records.run_manifest import RunManifest
from harness.records.store import Store


class Writer(Protocol):
    """Writes a run's items into a folder that is new or empty; returns what to say about it, for people."""

    def __call__(self, store: Store, manifest: RunManifest, folder: Path, *, task: str | None) -> tuple[str, ...]: ...


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` to write into, which becomes `path` when all of it was written.

    Raises `UsageError` where there is something at `path` already, `RecordError` when it cannot be written.
    """
    final = path.resolve()
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        raise UsageError(f"--out {path}: expected a folder that is new or empty; name another one")
    being_written: Path | None = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        being_written = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
        being_written.chmod(0o755)
        yield being_written
        being_written.replace(final)
    except OSError as error:
        raise RecordError(unwritable(path, error)) from error
    finally:
        if being_written is not None:
            shutil.rmtree(being_written, ignore_errors=True)  # gone by then, unless something failed
