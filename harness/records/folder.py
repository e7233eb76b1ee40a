"""A results folder: records at addresses below it. Owns that each is verified against its checksum, and which have
none."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from harness.records.seal import AGAIN, SEALED, load_record, save_record, version_of

M = TypeVar("M", bound=BaseModel)


class Folder:
    """What every part of a `Store` shares."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.without_checksum: set[str] = set()
        """Addresses of the records read so far that an earlier version wrote, before records carried checksums."""
        self._looked_at: dict[str, tuple[int, ...]] = {}
        """Address to the file's stat when its checksum was verified."""

    def load(self, address: str, model: type[M], *, path: Path | None = None, again: str = AGAIN) -> M | None:
        """A record; None where there is none. Raises `RecordError`; see `seal.load_record`."""
        record = load_record(self.root, address, model, path=path, again=again)
        if record is not None and version_of(record) < SEALED:
            self.without_checksum.add(address)
        return record

    def save(self, address: str, record: BaseModel) -> Path:
        """Write a record with its checksum. Raises `RecordError`."""
        return save_record(self.root, address, record)
