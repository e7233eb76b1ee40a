"""The formats of data files: JSON lines and lists, CSV, TSV, Parquet, and gzip around the first ones.

Every reader returns the records with the line each begins on, or an error that names the line. Nothing is guessed:
ambiguous input is refused, with advice.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.datafiles.values import Number, Value
from harness.errors import Problem, SuiteError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
FOREIGN = (
    (b"\xff\xfe", "UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16", "save it as UTF-8"),
    (b"\x1f\x8b", "a gzip file", "end its name with .gz"),
    (b"PK\x03\x04", "a zip file or a workbook", "save the table as CSV in UTF-8"),
    (b"PAR1", "a Parquet file", "end its name with .parquet"),
)
"""Magic bytes of files that are not UTF-8 text: what they are and what to do."""
DIGITS = 4300
"""Of the longest integer: Python's own limit."""
TOLD = 20
"""Broken lines of one file that are reported together."""
QUOTED = re.compile(r'"((?:[^"]|"")*)"(?=\t|$)')
"""A quoted cell, as spreadsheets write one that contains a quote or a tab."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record of a data file and its location."""

    fields: Mapping[str, Value]
    place: str
    """`data/intents.jsonl:17`."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A data file: its records and how many lines they came from."""

    rows: tuple[Row, ...]
    said: str
    """Lines in, rows out: `5,575 lines (1 of them the header) → 5,574 rows`."""


def problem(place: str, key: str, message: str) -> SuiteError:
    return SuiteError((Problem(place=place, key=key, message=message),))


def ending(path: Path) -> tuple[str, bool]:
    """The format's suffix, and whether the file is gzipped."""
    packed = path.suffix.lower() == ".gz"
    return (path.with_suffix("") if packed else path).suffix.lower(), packed


def read(path: Path, shown: str) -> Table:
    """The file's records. Raises `SuiteError` for invalid content, OSError and UnicodeDecodeError."""
    kind, packed = ending(path)
    if kind == ".parquet":
        return _parquet(path, shown)
    text = _text(path, shown, packed=packed, newline="" if kind in SEPARATORS else None)
    if kind in SEPARATORS:
        return (_tsv if kind == ".tsv" else _csv)(text, shown)
    return _json(text, shown)


def _text(path: Path, shown: str, *, packed: bool, newline: str | None) -> str:
    if not packed:
        with path.open(encoding="utf-8-sig", newline=newline) as stream:
            return stream.read()
    try:
        with gzip.open(path, "rt", encoding="utf-8-sig", newline=newline) as stream:
            return stream.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise problem(shown, "", f"expected a complete gzip file: {error}") from error


def not_utf8(shown: str, key: str, error: UnicodeDecodeError) -> SuiteError:
    """What the file seems to be instead, or the line with the first byte that is not UTF-8."""
    whole = bytes(error.object)
    for start, what, advice in FOREIGN:
        if whole.startswith(start):
            return problem(shown, key, f"expected UTF-8 text, this is {what}: {advice}")
    line = 1 + whole.count(b"\n", 0, error.start)
    byte = f"the byte {whole[error.start]:#04x}"
    return problem(f"{shown}:{line}", key, f"expected UTF-8 text, got {byte} ({error.reason}): save the file as UTF-8")


def _said(lines: int, rows: int, *others: str) -> str:
    beside = f" ({', '.join(others)})" if others else ""
    return f"{lines:,} line{'s' * (lines != 1)}{beside} → {rows:,} row{'s' * (rows != 1)}"


# -- JSON


class _RepeatedKeyError(ValueError):
    """A key that is repeated in one object."""


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in names if names.count(name) > 1)
        raise _RepeatedKeyError(f"the key {again!r} is repeated in one object")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _number(text: str) -> Number:
    number = Number(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text} is too large")
    return number


def _whole(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError(f"a number of {len(text):,} digits, {DIGITS:,} at most: quote it to make it a string")
    return int(text)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_whole, parse_constant=_no_constant
)


def _json(text: str, shown: str) -> Table:
    """One object per line, or one list of objects; the file's content decides which."""
    start = len(text) - len(text.lstrip())
    if text.startswith("[", start) and (table := _json_list(text, start, shown)) is not None:
        return table
    return _json_lines(text, shown)


def _json_lines(text: str, shown: str) -> Table:
    rows: list[Row] = []
    broken: list[Problem] = []
    blank, lines = 0, text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            blank += 1
            continue
        place = f"{shown}:{number}"
        try:
            rows.append(Row(fields=_fields(_decoded(line), line), place=place))
        except ValueError as error:
            broken.append(Problem(place=place, key="", message=str(error)))
    if broken:
        if not rows and len(broken) > 1 and (whole := _one_value(text)):
            raise problem(shown, "", whole)
        raise SuiteError(tuple(broken[:TOLD]))
    return Table(rows=tuple(rows), said=_said(len(lines), len(rows), *([f"{blank:,} blank"] if blank else [])))


def _decoded(line: str) -> Value:
    try:
        value, end = _DECODER.raw_decode(line, len(line) - len(line.lstrip()))
    except _RepeatedKeyError:
        raise
    except RecursionError:
        raise ValueError("expected one JSON object per line: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"expected one JSON object per line: {error}") from error
    if line[end:].strip() == ",":
        raise ValueError("expected one JSON object per line: remove the trailing comma")
    if line[end:].strip():
        raise ValueError(f"expected one JSON object per line: extra data from column {end + 1} on")
    return value


def _fields(value: Value, source: str) -> dict[str, Value]:
    """The object of a row. `source`: its JSON. Raises ValueError for anything else."""
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got a {type(value).__name__}")
    if "\\ud" in source.lower() and (lone := _lone_surrogate(value)):
        raise ValueError(f"expected text, got a lone surrogate: {lone}")
    return value


def _json_list(text: str, start: int, shown: str) -> Table | None:
    """A JSON list of objects, each with the line it begins in; None where the list is not the whole file."""
    rows: list[Row] = []
    at, line, counted = _skip(text, start + 1), 1, 0
    while not text.startswith("]", at):
        line += text.count("\n", counted, at)
        place, counted = f"{shown}:{line}", at
        try:
            value, end = _DECODER.raw_decode(text, at)
            rows.append(Row(fields=_fields(value, text[at:end]), place=place))
        except RecursionError:
            raise problem(place, "", "expected a JSON object: it is nested too deeply") from None
        except ValueError as error:
            if line == 1 and "\n" in text.strip():
                return None  # lines that are lists: each is reported with its number
            raise problem(place, "", f"expected a list of JSON objects: {error}") from error
        at = _skip(text, end)
        if text.startswith(",", at):
            at = _skip(text, at + 1)
        elif not text.startswith("]", at):
            raise problem(place, "", "expected a comma or the end of the list after this object")
    if text[at + 1 :].strip():
        return None
    return Table(rows=tuple(rows), said=f"a list of {len(rows):,} → {len(rows):,} row{'s' * (len(rows) != 1)}")


def _skip(text: str, at: int) -> int:
    found = re.compile(r"[ \t\n\r]*").match(text, at)
    return found.end() if found else at


def _one_value(text: str) -> str | None:
    """The message for a file with one JSON object over several lines."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    lists = [name for name, each in value.items() if isinstance(each, list)]
    inside = f"; the rows may be its {lists[0]!r}: write that list alone" if lists else ""
    return f"expected one JSON object per line or one list of them, got a single object over several lines{inside}"


def _lone_surrogate(value: object) -> str | None:
    """An escape such as `\\ud83d` without its pair: JSON allows it, no tokenizer does."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return repr(error.object[error.start : error.end])
    return None


# -- tables


def _header(names: list[str], place: str, separator: str) -> list[str]:
    """Raises `SuiteError` for a repeated column name and for a file with another separator."""
    for number, name in enumerate(names):
        if name in names[:number]:
            raise problem(place, "", f"expected distinct column names, {name!r} is repeated")
    if len(names) == 1:
        others = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
        for other, words in others.items():
            if other != separator and other in names[0]:
                expected = others[separator]
                message = f"expected columns separated by {expected}, this header has {words} between its names"
                raise problem(place, "", f"{message}: write the file with {expected}")
    return names


def _row(names: list[str], cells: list[str], place: str, hint: str = "") -> Row:
    if len(cells) != len(names):
        message = f"expected {len(names)} column{'s' * (len(names) != 1)} as in the header"
        raise problem(place, "", f"{message}{hint}")
    return Row(fields=dict(zip(names, cells, strict=True)), place=place)


def _csv(text: str, shown: str) -> Table:
    rows, blank, before = [], 0, 0
    names: list[str] | None = None
    first = text.partition("\n")[0]
    if ";" in first and "," not in first:
        _header([first], f"{shown}:1", ",")
    for cells, line in _csv_cells(text, shown):
        place, before = f"{shown}:{before + 1}", line
        if not cells:
            blank += 1
        elif names is None:
            names = _header(cells, place, ",")
        else:
            rows.append(_row(names, cells, place))
    return _table(rows, before, blank, has_header=names is not None)


def _csv_cells(text: str, shown: str) -> Iterator[tuple[list[str], int]]:
    """Cells of every record and the line it ends on. Cells may have any length."""
    limit = csv.field_size_limit(sys.maxsize)
    reader, before = csv.reader(io.StringIO(text, newline=""), strict=True), 0
    try:
        for cells in reader:
            yield cells, (before := reader.line_num)
    except csv.Error as error:
        if str(error) == "unexpected end of data":
            raise problem(
                f"{shown}:{before + 1}", "", "broken CSV: a quote opens in this record and never ends"
            ) from error
        raise problem(f"{shown}:{reader.line_num}", "", f"broken CSV: {error}") from error
    finally:
        csv.field_size_limit(limit)


def _tsv(text: str, shown: str) -> Table:
    """No cell spans lines. Quotes are text unless every cell with a quote is a well-formed quoted cell: a program that
    quotes cells quotes all of those."""
    rows, blank = [], 0
    names: list[str] | None = None
    lines = re.split(r"\r\n|\n|\r", text)
    if lines[-1] == "":
        lines.pop()
    with_quotes = [line for line in lines if '"' in line]
    width = len(_quoted_cells(next(filter(None, lines), "")) or ())
    is_quoted = all(len(_quoted_cells(line) or ()) == width for line in with_quotes)
    for number, line in enumerate(lines, start=1):
        place = f"{shown}:{number}"
        cells = (_quoted_cells(line) if is_quoted else None) or line.split("\t")
        if not line:
            blank += 1
        elif names is None:
            names = _header(cells, place, "\t")
        else:
            hint = "; a .tsv cell ends with its line: write .csv for text of several lines" if '"' in line else ""
            rows.append(_row(names, cells, place, hint))
    said = ["quotes are text"] if with_quotes and not is_quoted else []
    return _table(rows, len(lines), blank, *said, has_header=names is not None)


def _quoted_cells(line: str) -> list[str] | None:
    """The line's cells without their quotes; None where a quote is plain text."""
    cells, at = [], 0
    while True:
        quoted = QUOTED.match(line, at)
        cell, end = (quoted[1].replace('""', '"'), quoted.end(1) + 1) if quoted else _plain_cell(line, at)
        if not quoted and '"' in cell:
            return None
        cells.append(cell)
        if end == len(line):
            return cells
        at = end + 1


def _plain_cell(line: str, at: int) -> tuple[str, int]:
    cell = line[at:].partition("\t")[0]
    return cell, at + len(cell)


def _table(rows: list[Row], lines: int, blank: int, *others: str, has_header: bool) -> Table:
    told = [*(["1 of them the header"] if has_header else []), *([f"{blank:,} blank"] if blank else []), *others]
    return Table(rows=tuple(rows), said=_said(lines, len(rows), *told))


def _parquet(path: Path, shown: str) -> Table:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise problem(shown, "", f"not a Parquet file: {error}") from error
    names = table.column_names
    for number, name in enumerate(names):
        if name in names[:number]:
            raise problem(shown, "", f"expected distinct column names, {name!r} is repeated")
    rows = tuple(
        Row(fields=fields, place=f"{shown}:row {number}") for number, fields in enumerate(table.to_pylist(), start=1)
    )
    return Table(rows=rows, said=f"{len(rows):,} rows")
