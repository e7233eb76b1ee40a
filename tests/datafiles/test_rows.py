"""Data files: what is wrong with one is said with its line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from harness.datafiles.rows import Row, field_of, file_hash, item_ids, read_rows
from harness.errors import SuiteError

KEY = "tasks.t.choice.data"


def refusal(path: Path) -> str:
    with pytest.raises(SuiteError) as caught:
        read_rows(path, f"data/{path.name}", KEY)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_jsonl_row_knows_its_line(tmp_path: Path) -> None:
    """Blank lines and a byte order mark do not count as rows, but lines are counted as an editor counts them."""
    path = tmp_path / "x.jsonl"
    path.write_text('\ufeff{"a": 1}\n\n{"a": "é"}\n')
    rows = read_rows(path, "data/x.jsonl", KEY)
    assert [row.fields["a"] for row in rows] == [1, "é"]
    assert [row.place for row in rows] == ["data/x.jsonl:1", "data/x.jsonl:3"]


@pytest.mark.parametrize(
    ("content", "line", "expected"),
    [
        ('{"a": 1}\n{"a": \n', 2, "expected one JSON object per line"),
        ('{"a": 1}\n[1]\n', 2, "expected a JSON object, got a list"),
        ('{"a": NaN}\n', 1, "NaN is not a JSON number"),
        ('{"a": "\\ud83d"}\n', 1, "a lone surrogate"),
    ],
)
def test_a_broken_line_is_named_by_number(tmp_path: Path, content: str, line: int, expected: str) -> None:
    """A broken JSONL line stops everything, with its number and what was expected."""
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    told = refusal(path)
    assert told.startswith(f"data/x.jsonl:{line}: ")
    assert expected in told


def test_all_broken_lines_are_told_at_once(tmp_path: Path) -> None:
    """Two broken lines are two problems of one error."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\nnot\n{"a": 2}\n{"b"\n')
    assert [each.split(":")[1] for each in refusal(path).splitlines()] == ["2", "4"]


def test_a_whole_pair_of_surrogates_is_text(tmp_path: Path) -> None:
    """An emoji written as two escapes is one character, not a mistake."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": "\\ud83d\\ude00"}\n')
    assert read_rows(path, "x", KEY)[0].fields["a"] == "😀"


def test_csv_and_tsv(tmp_path: Path) -> None:
    """Columns by header, quoted newlines kept, every cell a text."""
    comma, tab = tmp_path / "x.csv", tmp_path / "x.tsv"
    comma.write_text('text,label\n"two\nlines",1\nplain,2\n')
    tab.write_text("text\tlabel\na,b\t3\n")
    assert [dict(row.fields) for row in read_rows(comma, "x", KEY)] == [
        {"text": "two\nlines", "label": "1"},
        {"text": "plain", "label": "2"},
    ]
    assert dict(read_rows(tab, "x", KEY)[0].fields) == {"text": "a,b", "label": "3"}


@pytest.mark.parametrize("line", ["a,b,c", "a"])
def test_a_csv_line_of_another_width_is_named(tmp_path: Path, line: str) -> None:
    """Too many and too few columns are errors, never shifted or empty cells."""
    path = tmp_path / "x.csv"
    path.write_text(f"text,label\nfine,1\n{line}\n")
    assert refusal(path) == "data/x.csv:3: expected 2 columns as in the header"


def test_parquet(tmp_path: Path) -> None:
    """Rows keep their types and are numbered from one."""
    path = tmp_path / "x.parquet"
    parquet.write_table(pyarrow.table({"text": ["a", "b"], "options": [["x", "y"], ["z"]]}), path)
    rows = read_rows(path, "x.parquet", KEY)
    assert rows[1] == Row(fields={"text": "b", "options": ["z"]}, place="x.parquet:row 2")
    path.write_bytes(b"no parquet")
    assert "not a Parquet file" in refusal(path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("none.jsonl", None, "no such file"),
        ("empty.jsonl", b"\n\n", "expected at least one item, the file has none"),
        ("header.csv", b"text,label\n", "expected at least one item, the file has none"),
        ("latin.jsonl", b'{"a": "\xe9"}\n', "expected UTF-8 text"),
        ("notes.txt", b"x", "or .parquet file, got .txt"),
    ],
)
def test_a_file_that_is_no_data(tmp_path: Path, name: str, content: bytes | None, expected: str) -> None:
    """A missing, empty, foreign or wrongly encoded file is named with the suite's key."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    told = refusal(path)
    assert told.startswith((f"data/{name}: {KEY}: ", f"data/{name}:1: {KEY}: "))
    assert expected in told


def test_a_missing_field_lists_what_the_row_has() -> None:
    """The message names the line, the field and the fields there are."""
    row = Row(fields={"text": "a", "label": "b"}, place="x.jsonl:7")
    with pytest.raises(SuiteError, match=r"x\.jsonl:7: k: expected a field 'answer'; the row has 'text', 'label'"):
        field_of(row, "answer", "k")


def test_items_are_named_by_id_or_content() -> None:
    """The own id is taken as it is; without one, equal content gives an equal id whatever the key order."""
    rows = [Row(fields={"id": 7, "t": "a"}, place="x:1"), Row(fields={"t": "b", "id": 8}, place="x:2")]
    assert item_ids(rows, "id", "k") == ("7", "8")
    turned = [Row(fields=dict(reversed(list(row.fields.items()))), place=row.place) for row in rows]
    assert item_ids(rows, None, "k") == item_ids(turned, None, "k")


@pytest.mark.parametrize(("field", "what"), [("id", "id '1'"), (None, "content")])
def test_duplicates_are_named_with_both_lines(field: str | None, what: str) -> None:
    """Two items of one name could be paired either way, so they are an error."""
    rows = [Row(fields={"id": 1}, place=f"x:{n}") for n in (1, 2)]
    with pytest.raises(SuiteError, match=f"x:2: k: same {what} as x:1"):
        item_ids(rows, field, "k")


def test_file_hash(tmp_path: Path) -> None:
    """SHA-256 over the bytes, also of a file larger than one block."""
    path = tmp_path / "x"
    path.write_bytes(b"ab" * 800_000)
    assert file_hash(path) == hashlib.sha256(b"ab" * 800_000).hexdigest()
