"""JSON lines of foreign files: read one at a time, each with its place; anything but a JSON object is refused by file
and line.

NaN and Infinity are read as numbers, because evaluators write them; what they mean is the reader's to say.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from harness.imports.shape import ImportedFile, UnreadableError

Object = dict[str, Any]
"""A JSON object of a foreign file. It stays within the reader's modules."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a file."""

    place: str
    """`file:17`, the file as it is shown."""
    fields: Object


def hashed(path: Path) -> ImportedFile:
    """The file with SHA-256 over its bytes. Raises `UnreadableError`."""
    try:
        with path.open("rb") as stream:
            return ImportedFile(path=path, sha256=hashlib.file_digest(stream, "sha256").hexdigest())
    except OSError as error:
        raise UnreadableError(path, f"could not be read: {error.strerror or error}") from error


def json_file(path: Path) -> Object:
    """A file that is one JSON object. Raises `UnreadableError`."""
    try:
        return parsed(str(path), path.read_bytes())
    except OSError as error:
        raise UnreadableError(path, f"could not be read: {error.strerror or error}") from error


def lines(path: Path) -> Iterator[Line]:
    """Every line that is not blank. Raises `UnreadableError`, also for a last line without an end, which is how a
    writer that was interrupted leaves a file, unless it is whole JSON."""
    for number, (_, raw) in enumerate(_raw(path), start=1):
        if raw.strip():
            place = f"{path}:{number}"
            yield Line(place=place, fields=parsed(place, raw))


def parsed(place: str, raw: bytes) -> Object:
    """Raises `UnreadableError` for anything but a JSON object in UTF-8."""
    try:
        found = from_json(raw, allow_inf_nan=True)
    except ValueError as error:
        ended = "" if raw.endswith(b"\n") else "; the file ends in the middle of it, so copy it again or evaluate again"
        raise UnreadableError(place, f"expected a JSON object, got broken JSON: {error}{ended}") from error
    if not isinstance(found, dict):
        raise UnreadableError(place, f"expected a JSON object, got {type(found).__name__}")
    return found


def object_in(place: str, name: str, value: object) -> Object:
    """A value that is a JSON object, empty where there is none. Raises `UnreadableError` for anything else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UnreadableError(place, f"expected `{name}` to be an object, got {type(value).__name__}")
    return value


def list_in(place: str, name: str, value: object) -> list[Any]:
    """As `object_in`, of a list."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise UnreadableError(place, f"expected `{name}` to be a list, got {type(value).__name__}")
    return value


def together(path: Path, key: Callable[[Line], str]) -> Iterator[list[Line]]:
    """The lines of a file that have the same key, key by key, in the order in which the keys first appear.

    Keeps a number for each line, never its content: the file is read once for the keys, and once more.
    """
    numbers: dict[str, int] = {}
    group, start, line_number = array("q"), array("q"), array("q")
    for number, (offset, raw) in enumerate(_raw(path), start=1):
        if raw.strip():
            place = f"{path}:{number}"
            group.append(numbers.setdefault(key(Line(place=place, fields=parsed(place, raw))), len(numbers)))
            start.append(offset)
            line_number.append(number)
    count = len(numbers)
    del numbers
    yield from _grouped(path, (group, start, line_number), count)


def _grouped(path: Path, index: tuple[array[int], array[int], array[int]], count: int) -> Iterator[list[Line]]:
    group, start, line_number = index
    order = sorted(range(len(group)), key=group.__getitem__)  # stable: the file's order within a group
    try:
        with path.open("rb") as stream:
            at = 0
            for current in range(count):
                found = []
                while at < len(order) and group[order[at]] == current:
                    place = f"{path}:{line_number[order[at]]}"
                    stream.seek(start[order[at]])
                    found.append(Line(place=place, fields=parsed(place, stream.readline())))
                    at += 1
                yield found
    except OSError as error:
        raise UnreadableError(path, f"could not be read: {error.strerror or error}") from error


def _raw(path: Path) -> Iterator[tuple[int, bytes]]:
    """Byte offset and bytes of every line."""
    offset = 0
    try:
        with path.open("rb") as stream:
            for raw in stream:
                yield offset, raw
                offset += len(raw)
    except OSError as error:
        raise UnreadableError(path, f"could not be read: {error.strerror or error}") from error
