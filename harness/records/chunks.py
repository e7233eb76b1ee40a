"""The append-only item records of one evaluation, one checksummed line a chunk: SHA-256, a space, JSON.

Owns the checksums and what becomes of a writer killed in mid-write. Reads line by line, so that the largest file needs
the memory of its largest chunk. It never interprets a record.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from harness.errors import RecordError, unwritable
from harness.records.models import ItemRecord

_ITEMS = TypeAdapter(tuple[ItemRecord, ...])


class Chunks:
    """One evaluation's file; `digests` are those of the chunks read or appended so far.

    `first`: read only so many chunks, as if the file ended there; None reads all.
    """

    def __init__(self, path: Path, *, first: int | None = None) -> None:
        self.path = path
        self._first = first
        self.digests: list[str] = []

    def payloads(self) -> Iterator[tuple[int, bytes]]:
        """Byte offset and JSON of every complete chunk, in order. A torn last line (the writer was killed in
        mid-write) is cut off.

        Raises `RecordError` for a chunk that is complete but does not match its checksum.
        """
        self.digests = []
        if not self.path.exists():
            return
        offset = 0
        with self.path.open("rb") as stream:
            for number, line in enumerate(islice(stream, self._first), start=1):
                if not line.endswith(b"\n"):
                    os.truncate(self.path, offset)
                    return
                digest, payload = self._checked(line, f"{number}")
                self.digests.append(digest)
                yield offset, payload
                offset += len(line)

    def load(self) -> list[tuple[ItemRecord, ...]]:
        """The records of every complete chunk. Raises `RecordError` as `payloads` and `records`."""
        return [self.records(number, payload) for number, (_, payload) in enumerate(self.payloads(), start=1)]

    def records(self, number: int, payload: bytes) -> tuple[ItemRecord, ...]:
        """The records of the chunk in line `number`. Raises `RecordError` for JSON that is none of our records."""
        try:
            return _ITEMS.validate_json(payload)
        except ValidationError as error:
            raise self._misshapen(f"{number}", error) from error

    def record(self, offset: int, place: int) -> ItemRecord:
        """One record of the chunk that begins at byte `offset`. Raises `RecordError` as `load`."""
        with self.path.open("rb") as stream:
            stream.seek(offset)
            _, payload = self._checked(stream.readline(), f"byte {offset}")
        try:
            return ItemRecord.model_validate(from_json(payload)[place])
        except ValidationError as error:
            raise self._misshapen(f"byte {offset}", error) from error

    def _checked(self, line: bytes, place: str) -> tuple[str, bytes]:
        """Checksum and JSON of a line."""
        digest, _, payload = line.removesuffix(b"\n").partition(b" ")
        if hashlib.sha256(payload).hexdigest().encode() != digest:
            raise RecordError(
                f"{self.path}:{place}: the stored items do not match their checksum. "
                "Run the suite again with --fresh to measure this evaluation anew."
            )
        return digest.decode(), payload

    def _misshapen(self, place: str, error: ValidationError) -> RecordError:
        return RecordError(f"{self.path}:{place}: {error.errors()[0]['msg']}; run the suite again with --fresh.")

    def append(self, items: Sequence[ItemRecord]) -> None:
        """Add one chunk and force it to disk. Raises `RecordError` when that fails; nothing is half-written:
        a torn line is cut off here, or by the next `load` when this process is killed in mid-write."""
        payload = _ITEMS.dump_json(tuple(items))
        digest = hashlib.sha256(payload).hexdigest()
        line = memoryview(digest.encode() + b" " + payload + b"\n")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a buffer that met a full disk writes its rest when it is closed, behind the cut.
            with self.path.open("ab", buffering=0) as stream:
                before = stream.tell()
                try:
                    while line:
                        line = line[stream.write(line) :]
                    os.fsync(stream.fileno())
                except OSError:
                    stream.truncate(before)
                    raise
        except OSError as error:
            raise RecordError(unwritable(self.path, error)) from error
        self.digests.append(digest)

    def digest(self) -> str:
        """SHA-256 over the chunk checksums in order."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()
