"""Checksums over a record and its address, so that a record that was changed, truncated or moved is refused.

Owns their form. A JSON file ends with the key `checksum`; a file of JSON lines begins with a line that holds it. The
checksum is SHA-256 over the file's address below the results folder and every other byte. It detects accidents, a
wrongly restored cache and manual edits; a checksum that was recomputed on purpose is believed.

`Folder` is a results folder: it verifies each record against its checksum, and knows which have none.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from harness.errors import RecordError
from harness.records.files import read_whole, write_atomically

M = TypeVar("M", bound=BaseModel)
SEALED = 2
"""From this schema version on a record carries a checksum."""
_TAIL, _TAIL_BYTES = re.compile(rb',\n "checksum": "([0-9a-f]{64})"\n\}'), 83
_HEAD, _HEAD_BYTES = re.compile(rb'\{"checksum":"([0-9a-f]{64})"\}\n'), 80
_BLOCK = 1 << 16
AGAIN = "Run the suite again with --fresh to replace it, or put back what was stored."


def save_record(root: Path, address: str, record: BaseModel) -> Path:
    """Write a record with its checksum to `address` below `root`. Raises `RecordError`."""
    path = root / address
    write_atomically(path, with_checksum(record.model_dump_json(indent=1).encode(), address))
    return path


def load_record(root: Path, address: str, model: type[M], *, path: Path | None = None, again: str = AGAIN) -> M | None:
    """The record at `address` below `root`; None where there is none. `path`: where it is, if not there.

    Raises `RecordError` naming the file when it is damaged, from elsewhere, without the checksum that its version has,
    or of a version that this quantgate does not know. `again`: what to do then.
    """
    path = path or root / address
    content = read_whole(path)
    if content is None:
        return None
    content, is_sealed = opened(path, content, address, again)
    try:
        record = model.model_validate_json(content)
    except ValidationError as error:
        raise _misshapen(path, content, model, error, again) from error
    if not is_sealed and version_of(record) >= SEALED:
        raise RecordError(f"{path}: carries no checksum, which every record of its version has. {again}")
    return record


def version_of(record: BaseModel) -> int:
    """Its schema version; 1 for records without one."""
    found = getattr(record, "schema_version", 1)
    return found if isinstance(found, int) else 1


def with_checksum(content: bytes, address: str) -> bytes:
    """A JSON object with its checksum as the last key."""
    body = content.rstrip().removesuffix(b"}").rstrip()
    return body + b',\n "checksum": "' + _checksum(address, [body]).encode() + b'"\n}'


def opened(path: Path, content: bytes, address: str, again: str = AGAIN) -> tuple[bytes, bool]:
    """The JSON object without its checksum, and whether it had one. Raises `RecordError` where that does not fit."""
    found = _TAIL.fullmatch(content[-_TAIL_BYTES:])
    if found is None:
        return content, False
    body = content[:-_TAIL_BYTES]
    if _checksum(address, [body]).encode() != found[1]:
        raise changed(path, again)
    return body + b"\n}", True


def lines_with_checksum(lines: bytes, address: str) -> bytes:
    """JSON lines after a line with their checksum."""
    return b'{"checksum":"' + _checksum(address, [lines]).encode() + b'"}\n' + lines


def room_for_checksum() -> bytes:
    """What stands in the place of the first line while a file of JSON lines is written."""
    return b" " * (_HEAD_BYTES - 1) + b"\n"


def seal_lines(path: Path, address: str) -> None:
    """Put the checksum of the lines that follow into the room left for it, and sync the file to disk."""
    with path.open("r+b") as stream:
        stream.seek(_HEAD_BYTES)
        checksum = _checksum(address, _blocks(stream))
        stream.seek(0)
        stream.write(b'{"checksum":"' + checksum.encode() + b'"}\n')
        stream.flush()
        os.fsync(stream.fileno())
    path.chmod(0o644)


def open_lines(path: Path, stream: BinaryIO, address: str, *, known: bool = False, again: str = AGAIN) -> bool:
    """Go to the first line of records; whether they had a checksum. Raises `RecordError` where it does not fit, and for
    an empty file, which is never written.

    `known`: this very file was looked at before; it is not read again.
    """
    head = stream.read(_HEAD_BYTES)
    if not head:
        raise RecordError(f"{path}: damaged: it is empty. {again}")
    found = _HEAD.fullmatch(head)
    start = _HEAD_BYTES if found is not None else 0
    if found is not None and not known and _checksum(address, _blocks(stream)).encode() != found[1]:
        raise changed(path, again)
    stream.seek(start)
    return found is not None


def changed(path: Path, again: str = AGAIN) -> RecordError:
    return RecordError(
        f"{path}: does not match its checksum: it was changed, damaged, or belongs to another place. {again}"
    )


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block


def _checksum(address: str, blocks: Iterator[bytes] | list[bytes]) -> str:
    digest = hashlib.sha256(address.encode() + b"\n")
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _misshapen(path: Path, content: bytes, model: type[BaseModel], error: ValidationError, again: str) -> RecordError:
    newest = model.model_fields["schema_version"].default if "schema_version" in model.model_fields else None
    try:
        given = from_json(content)
    except ValueError:
        given = None
    version = given.get("schema_version") if isinstance(given, dict) else None
    if isinstance(newest, int) and isinstance(version, int) and version > newest:
        return RecordError(
            f"{path}: has schema version {version}, this quantgate reads up to {newest}; use the quantgate that wrote "
            "it or a newer one"
        )
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return RecordError(
        f"{path}: {where + ': ' if where else ''}{first['msg']}. The record is damaged or was written by another "
        f"version of quantgate. {again}"
    )


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
