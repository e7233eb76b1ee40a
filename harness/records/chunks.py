"""The append-only item records of one evaluation, one line per chunk: a checksum, a space, JSON.

The checksum is SHA-256 over the evaluation's key and the SHA-256 of the JSON, so that a chunk of another evaluation is
not read here; versions before had the latter alone. Owns the checksums and recovery from a writer killed in mid-write:
readers skip its torn line, the next writer truncates it. Reads line by line, so that memory is bounded by the largest
chunk. It never interprets a record.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from harness.errors import RecordError, unwritable
from harness.records.files import unreadable
from harness.records.items import ItemRecord

_ITEMS = TypeAdapter(tuple[ItemRecord, ...])


class Chunks:
    """One evaluation's file, in the folder called by its key; `digests` are the SHA-256 of the JSON of the chunks read
    or appended so far.

    `first`: read only so many chunks, as if the file ended there; None reads all.
    """

    def __init__(self, path: Path, *, first: int | None = None) -> None:
        self.path = path
        self._first = first
        self._end: int | None = None
        """Bytes of all complete chunks; None before the file was read to its end."""
        self.digests: list[str] = []

    def payloads(self) -> Iterator[tuple[int, bytes]]:
        """Byte offset and JSON of every complete chunk, in order. A torn last line (the writer was killed in
        mid-write) is left out.

        Raises `RecordError` for a chunk that is complete but does not match its checksum.
        """
        self.digests, self._end, end = [], None, 0
        try:
            stream = self.path.open("rb")
        except FileNotFoundError:
            self._end = 0
            return
        except OSError as error:
            raise unreadable(self.path, error) from error
        with stream:
            for number, line in enumerate(islice(stream, self._first), start=1):
                if not line.endswith(b"\n"):
                    break
                digest, payload = self._checked(line, f"{number}")
                self.digests.append(digest)
                yield end, payload
                end += len(line)
        self._end = end

    def load(self) -> list[tuple[ItemRecord, ...]]:
        """The records of every complete chunk. Raises `RecordError` as `payloads` and `records`."""
        return [self.records(number, payload) for number, (_, payload) in enumerate(self.payloads(), start=1)]

    def records(self, number: int, payload: bytes) -> tuple[ItemRecord, ...]:
        """The records of the chunk in line `number`. Raises `RecordError` for JSON that is not one of our records."""
        try:
            return _ITEMS.validate_json(payload)
        except ValidationError as error:
            raise self._misshapen(f"{number}", error) from error

    def record(self, offset: int, place: int) -> ItemRecord:
        """One record of the chunk that begins at byte `offset`. Raises `RecordError` as `load`."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(offset)
                _, payload = self._checked(stream.readline(), f"byte {offset}")
        except OSError as error:
            raise unreadable(self.path, error) from error
        try:
            return ItemRecord.model_validate(from_json(payload)[place])
        except ValidationError as error:
            raise self._misshapen(f"byte {offset}", error) from error

    def texts(self, wanted: Iterable[tuple[int, Sequence[int]]]) -> Iterator[tuple[str, ...]]:
        """All generated texts of each record, from the offset of a chunk and places in it, in this order; none where
        there is no answer. Raises `RecordError` as `load`."""
        try:
            with self.path.open("rb") as stream:
                for offset, places in wanted:
                    stream.seek(offset)
                    _, payload = self._checked(stream.readline(), f"byte {offset}")
                    records = from_json(payload)
                    for place in places:
                        answers = (records[place]["answer"], *records[place].get("repeats", ()))
                        yield tuple(str(each["text"]) for each in answers if each is not None)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def _checked(self, line: bytes, place: str) -> tuple[str, bytes]:
        """SHA-256 of a line's JSON, and the JSON."""
        checksum, _, payload = line.removesuffix(b"\n").partition(b" ")
        digest = hashlib.sha256(payload).hexdigest()
        if checksum != self._checksum(digest) and checksum != digest.encode():
            raise RecordError(
                f"{self.path}:{place}: the stored items do not match their checksum: they were changed, damaged, or "
                "belong to another evaluation. Run the suite again with --fresh to measure this evaluation again."
            )
        return digest, payload

    def _checksum(self, digest: str) -> bytes:
        return hashlib.sha256(f"{self.path.parent.name}:{digest}".encode()).hexdigest().encode()

    def _misshapen(self, place: str, error: ValidationError) -> RecordError:
        return RecordError(f"{self.path}:{place}: {error.errors()[0]['msg']}; run the suite again with --fresh.")

    def append(self, items: Sequence[ItemRecord]) -> None:
        """Append a chunk to those read so far and sync it to disk. Only the process that holds the folder does.

        Raises `RecordError` when that fails, and for a file that is a link; nothing is half-written: a torn line is
        truncated here, or by the next `append` when this process is killed in mid-write.
        """
        if self._end is None:
            for _ in self.payloads():
                pass
        payload = _ITEMS.dump_json(tuple(items))
        digest = hashlib.sha256(payload).hexdigest()
        line = self._checksum(digest) + b" " + payload + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write(line)
        except OSError as error:
            if self.path.is_symlink():
                says = "is a link, and quantgate writes to files of its own only; remove it and run the suite again"
                raise RecordError(f"{self.path}: {says}") from error
            raise RecordError(unwritable(self.path, error)) from error
        self.digests.append(digest)

    def _write(self, line: bytes) -> None:
        assert self._end is not None
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        # Unbuffered: a buffer that met a full disk writes its rest when it is closed, behind the cut.
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            try:
                stream.truncate(self._end)
                stream.seek(self._end)
                rest = memoryview(line)
                while rest:
                    rest = rest[stream.write(rest) :]
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(self._end)
                raise
        self._end += len(line)

    def digest(self) -> str:
        """SHA-256 over the chunk checksums in order."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()
