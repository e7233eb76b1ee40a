"""Local data files, read strictly: a broken line, a missing field or a duplicate is an error with its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from harness.datafiles.formats import ENDINGS, Row, Table, ending, not_utf8, problem, read
from harness.datafiles.values import NotTextError, Value, is_missing, text_of
from harness.errors import Problem, SuiteError
from harness.suite.input_limits import unreadable

__all__ = ["Row", "Table", "Value", "field_of", "file_hash", "item_ids", "problem", "read_rows", "read_table"]


def read_rows(path: Path, shown: str, key: str) -> tuple[Row, ...]:
    """All records of a data file. As `read_table`."""
    return read_table(path, shown, key).rows


def read_table(path: Path, shown: str, key: str) -> Table:
    """A JSONL, JSON, CSV, TSV or Parquet file, all but the last also gzipped, with its line count.

    `shown`: the file as the suite names it; `key`: where the suite names it. Raises `SuiteError`.
    """
    kind, packed = ending(path)
    if kind not in ENDINGS or (packed and kind == ".parquet"):
        got = "".join(path.suffixes[-2:]) if packed else path.suffix
        expected = "a .jsonl, .json, .csv, .tsv (also with .gz) or .parquet file"
        raise problem(shown, key, f"expected {expected}, got {got or 'no ending'}")
    try:
        if (instead := unreadable(path)) is not None:
            raise problem(shown, key, f"expected a file, got {instead}")
        table = read(path, shown)
    except FileNotFoundError:
        raise problem(shown, key, "no such file") from None
    except UnicodeDecodeError as error:
        raise not_utf8(shown, key, error) from None
    except OSError as error:
        raise problem(shown, key, f"could not be read: {error.strerror or error}") from error
    if not table.rows:
        raise problem(shown, key, "expected at least one item, the file has none")
    return table


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def field_of(row: Row, name: str, key: str) -> Value:
    """A required field. `key`: where the suite names it."""
    if name not in row.fields:
        raise problem(row.place, key, f"expected a field {name!r}; the row has {', '.join(map(repr, row.fields))}")
    return row.fields[name]


def item_ids(rows: Sequence[Row], id_field: str | None, key: str) -> tuple[str, ...]:
    """Stable ids: the row's own `id_field`, or a hash of its content. Raises `SuiteError` naming every duplicate."""
    seen: dict[str, str] = {}
    ids, twice = [], []
    for row in rows:
        name = named_id(row, id_field, key) if id_field is not None else content_id(row.fields)
        if name in seen:
            what = f"id {name!r}" if id_field is not None else "content"
            twice.append(Problem(place=row.place, key=key, message=f"same {what} as {seen[name]}; items must differ"))
        seen.setdefault(name, row.place)
        ids.append(name)
    if twice:
        raise SuiteError(tuple(twice[:20]))
    return tuple(ids)


def named_id(row: Row, id_field: str, key: str) -> str:
    """The row's own id as text. Raises `SuiteError` for one that is missing or not a string."""
    value = field_of(row, id_field, key)
    if is_missing(value):
        raise problem(row.place, key, f"expected an id in {id_field!r}, got {'null' if value is None else 'no string'}")
    try:
        return text_of(value)
    except NotTextError as error:
        raise problem(row.place, key, f"expected a string, got {error}") from error


def content_id(fields: object) -> str:
    """Equal for equal content, whatever the order of its fields."""
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
