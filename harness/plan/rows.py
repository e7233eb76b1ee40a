"""Local data files, read strictly: a broken line, a missing field or a duplicate is an error with its place."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Problem, SuiteError

Value = object
"""A cell: text, number, list, mapping or None, as the file has it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record of a data file and where it stands."""

    fields: Mapping[str, Value]
    place: str
    """`data/intents.jsonl:17`."""


def problem(place: str, key: str, message: str) -> SuiteError:
    return SuiteError((Problem(place=place, key=key, message=message),))


def read_rows(path: Path, shown: str, key: str) -> tuple[Row, ...]:
    """All records of a JSONL, CSV or Parquet file.

    `shown`: the file as the suite names it; `key`: where the suite names it. Raises `SuiteError`.
    """
    readers = {".jsonl": _jsonl, ".json": _jsonl, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise problem(shown, key, f"expected a .jsonl, .csv, .tsv or .parquet file, got {path.suffix or 'no ending'}")
    try:
        rows = reader(path, shown)
    except FileNotFoundError:
        raise problem(shown, key, "no such file") from None
    except UnicodeDecodeError as error:
        raise problem(shown, key, f"expected UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise problem(shown, key, f"could not be read: {error.strerror or error}") from error
    if not rows:
        raise problem(shown, key, "expected at least one item, the file has none")
    return rows


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _jsonl(path: Path, shown: str) -> tuple[Row, ...]:
    rows, broken = [], []
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            place = f"{shown}:{number}"
            try:
                value = json.loads(line, parse_constant=_no_constant)
            except ValueError as error:
                broken.append(Problem(place=place, key="", message=f"expected one JSON object a line: {error}"))
                continue
            if not isinstance(value, dict):
                what = type(value).__name__
                broken.append(Problem(place=place, key="", message=f"expected a JSON object, got a {what}"))
                continue
            if "\\ud" in line.lower() and (lone := _lone_surrogate(value)):
                broken.append(Problem(place=place, key="", message=f"expected text, got half a character: {lone}"))
                continue
            rows.append(Row(fields=value, place=place))
    if broken:
        raise SuiteError(tuple(broken[:20]))
    return tuple(rows)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _lone_surrogate(value: object) -> str | None:
    """An escape such as `\\ud83d` without its other half: JSON allows it, no tokenizer does."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return repr(error.object[error.start : error.end])
    return None


def _csv(path: Path, shown: str) -> tuple[Row, ...]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        rows = []
        try:
            for fields in reader:
                place = f"{shown}:{reader.line_num}"
                if None in fields or None in fields.values():
                    expected = len(reader.fieldnames or ())
                    raise problem(place, "", f"expected {expected} columns as in the header")
                rows.append(Row(fields=dict(fields), place=place))
        except csv.Error as error:
            raise problem(f"{shown}:{reader.line_num}", "", f"broken CSV: {error}") from error
    return tuple(rows)


def _parquet(path: Path, shown: str) -> tuple[Row, ...]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise problem(shown, "", f"not a Parquet file: {error}") from error
    return tuple(
        Row(fields=fields, place=f"{shown}:row {number}") for number, fields in enumerate(table.to_pylist(), start=1)
    )


def field_of(row: Row, name: str, key: str) -> Value:
    """A field that must be there. `key`: where the suite names it."""
    if name not in row.fields:
        raise problem(row.place, key, f"expected a field {name!r}, the row has {', '.join(map(repr, row.fields))}")
    return row.fields[name]


def item_ids(rows: Sequence[Row], id_field: str | None, key: str) -> tuple[str, ...]:
    """Stable ids: the row's own `id_field`, or a hash of its content. Raises `SuiteError` naming every duplicate."""
    seen: dict[str, str] = {}
    ids, twice = [], []
    for row in rows:
        if id_field is not None:
            name = str(field_of(row, id_field, key))
        else:
            text = json.dumps(row.fields, sort_keys=True, ensure_ascii=False, default=str)
            name = hashlib.sha256(text.encode()).hexdigest()[:16]
        if name in seen:
            what = f"id {name!r}" if id_field is not None else "content"
            twice.append(Problem(place=row.place, key=key, message=f"same {what} as {seen[name]}; items must differ"))
        seen.setdefault(name, row.place)
        ids.append(name)
    if twice:
        raise SuiteError(tuple(twice[:20]))
    return tuple(ids)
