"""Data files are read as a person would expect, or refused at the line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.datafiles.rows import read_table
from harness.errors import SuiteError
from tests.faults.asked import planned, refusal

SMS = Path(__file__).parents[3] / "shared" / "data" / "sms_spam" / "SMSSpamCollection"
GENERATE: dict[str, Any] = {"data": "rows.jsonl", "prompt": "{{q}}", "answer": "{{a}}"}


def rows_of(path: Path) -> list[dict[str, object]]:
    return [dict(row.fields) for row in read_table(path, path.name, "tasks.t.choice.data").rows]


def told(path: Path) -> str:
    with pytest.raises(SuiteError) as caught:
        rows_of(path)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.fault("T21", "quote characters at the start and the end of TSV lines", "every line is one row")
def test_quotes_in_a_tsv_are_text(tmp_path: Path) -> None:
    """Five lines are five rows, and their texts hold the quotes."""
    path = tmp_path / "sms.tsv"
    path.write_text('label\ttext\nham\thello\nspam\t"win a prize\nham\tcall me\nham\tbye"\nham\tlater\n')
    texts = [row["text"] for row in rows_of(path)]
    assert texts == ["hello", '"win a prize', "call me", 'bye"', "later"]
    assert read_table(path, "sms.tsv", "").said == "6 lines (1 of them the header, quotes are text) → 5 rows"


@pytest.mark.fault("T21", "a public file of 5,574 messages with stray quotes, under a header", "5,574 rows")
def test_the_sms_file_is_read_whole(tmp_path: Path) -> None:
    """Where the public samples lie beside this checkout."""
    if not SMS.is_file():
        pytest.skip("the benchmark samples are not beside this checkout")
    path = tmp_path / "sms.tsv"
    path.write_text("label\ttext\n" + SMS.read_text())
    assert len(rows_of(path)) == 5_574


def test_cells_of_a_quoted_tsv_lose_their_quotes(tmp_path: Path) -> None:
    """As spreadsheets write every cell with a quote or a tab; where one quote is mere text, all of them are."""
    path = tmp_path / "x.tsv"
    path.write_text('a\tb\n"say ""hi"""\t"one\ttwo"\n\t"x"\n')
    assert rows_of(path) == [{"a": 'say "hi"', "b": "one\ttwo"}, {"a": "", "b": "x"}]
    path.write_text('a\tb\n"whole"\t1\n"left\tright"\n')
    assert rows_of(path) == [{"a": '"whole"', "b": "1"}, {"a": '"left', "b": 'right"'}]
    path.write_text('a\tb\n1\t"two\nlines"\n')
    hint = "a .tsv cell ends with its line: write .csv for text of several lines"
    assert told(path) == f"x.tsv:3: expected 2 columns as in the header; {hint}"


@pytest.mark.fault("T22", "a CSV cell of 150,000 characters", "read")
def test_a_long_cell_is_read(tmp_path: Path) -> None:
    """And Python's own limit is as before for everyone else."""
    (tmp_path / "rows.csv").write_text("text\n" + "word " * 30_000 + "\n")
    before = csv.field_size_limit()
    plan = planned(tmp_path, {"perplexity": {"data": "rows.csv", "window": 1024}})
    assert plan.items[0].bytes == 150_000
    assert csv.field_size_limit() == before


@pytest.mark.fault("T23", "the same column or key twice", "refused at its line")
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.csv", "q,a,a\n1,yes,no\n", "x.csv:1: expected distinct column names, 'a' is repeated"),
        ("x.tsv", "q\ta\ta\n1\tyes\tno\n", "x.tsv:1: expected distinct column names, 'a' is repeated"),
        ("x.jsonl", '{"q": 1}\n{"a":"yes","a":"no"}\n', "x.jsonl:2: the key 'a' is repeated in one object"),
        ("x.jsonl", '{"q": {"b": 1, "b": 1}}\n', "x.jsonl:1: the key 'b' is repeated in one object"),
        (
            "x.json",
            '[{"q": 1},\n{"a":"yes","a":"no"}]\n',
            "x.json:2: expected a list of JSON objects: the key 'a' is repeated",
        ),
    ],
)
def test_a_repeated_name_is_refused(tmp_path: Path, name: str, content: str, expected: str) -> None:
    """Whatever the format; nobody can know which of the two was meant."""
    (tmp_path / name).write_text(content)
    assert told(tmp_path / name).startswith(expected)


@pytest.mark.fault(
    "T33", "a JSON list, gzip, a semicolon between columns, content parts, nested fields", "read or said"
)
def test_other_shapes_of_the_same_rows(tmp_path: Path) -> None:
    """A .json list and gzip files are read; a file separated otherwise says so in one sentence."""
    rows = [{"q": "x", "a": "1"}, {"q": "y", "a": "2"}]
    jsonl = "".join(json.dumps(row) + "\n" for row in rows)
    table = "q,a\nx,1\ny,2\n"
    (tmp_path / "list.json").write_text(json.dumps(rows, indent=2))
    (tmp_path / "lines.json").write_text(jsonl)
    (tmp_path / "list.jsonl").write_text(json.dumps(rows))
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(jsonl.encode()))
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(json.dumps(rows).encode()))
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(table.encode()))
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress(table.replace(",", "\t").encode()))
    for path in tmp_path.iterdir():
        assert rows_of(path) == rows, path.name
    broken = tmp_path / "broken.jsonl.gz"
    broken.write_bytes(gzip.compress(jsonl.encode())[:-9])
    assert told(broken).startswith("broken.jsonl.gz: expected a complete gzip file")
    (tmp_path / "semi.csv").write_text("q;a\nx;1\n")
    assert told(tmp_path / "semi.csv").startswith(
        "semi.csv:1: expected columns separated by a comma, this header has a semicolon between its names"
    )
    (tmp_path / "one.json").write_text(json.dumps({"version": 1, "data": rows}, indent=1))
    assert told(tmp_path / "one.json") == (
        "one.json: expected one JSON object per line or one list of them, got a single object over several lines; "
        "the rows may be its 'data': write that list alone"
    )
    (tmp_path / "bad.json").write_text('[{"q": 1},\n {"q": 2}\n {"q": 3}]')
    assert told(tmp_path / "bad.json").startswith("bad.json:2: expected a comma or the end of the list")


@pytest.mark.fault("T33", "choices and labels inside a mapping, as public data sets have them", "named by their path")
def test_nested_fields_are_values(tmp_path: Path) -> None:
    """ARC's shape: options in `choices.text`, the answer a letter of `choices.label`."""
    rows = [
        {"q": "x", "choices": {"text": ["red", "blue"], "label": ["A", "B"]}, "key": "B"},
        {"q": "y", "choices": {"text": ["one", "two", "three"], "label": ["1", "2", "3"]}, "key": "1"},
    ]
    spec = {"data": "rows.jsonl", "prompt": "{{q}}", "choices": "{{choices.text}}"}
    plan = planned(tmp_path, {"choice": {**spec, "answer": "{{choices.label.index(key)}}"}}, rows)
    assert [item.expected for item in plan.items] == ["blue", "one"]
    assert plan.items[1].options == ("one", "two", "three")
    told = refusal(tmp_path, {"choice": {**spec, "answer": "{{choices.labels.index(key)}}"}}, rows)
    assert "rows.jsonl:1: tasks.t.choice.answer: 'dict object' has no attribute 'labels'" in told


@pytest.mark.fault("T33", "numbers and true and false as options and answers", "read as the file has them, or said")
def test_numbers_and_booleans_are_options(tmp_path: Path) -> None:
    """`[1, 2.50, true]` are three texts; a boolean that is no option says how to write which one it is."""
    spec = {"data": "rows.jsonl", "prompt": "{{q}}", "choices": "{{o}}", "answer": "{{a}}"}
    plan = planned(tmp_path, {"choice": spec}, '{"q": "x", "o": [10, 2.50, true], "a": true}\n')
    assert (plan.items[0].options, plan.items[0].expected) == (("10", "2.50", "true"), "true")
    told = refusal(tmp_path, {"choice": spec}, [{"q": "x", "o": ["no", "yes"], "a": True}])
    assert told.endswith("got True; write which option it is: {{ 'yes' if field else 'no' }}")
    assert "choices[1]: expected a string, got null" in refusal(
        tmp_path, {"choice": spec}, [{"q": "x", "o": ["a", None]}]
    )


def test_sharegpt_conversations_are_messages(tmp_path: Path) -> None:
    """`from` and `value` are roles and contents, also beside the empty columns of a Parquet file."""
    spec = {"data": "rows.jsonl", "messages": "{{c[:-1]}}", "answer": "{{c[-1].value}}"}
    says = [("system", "Be kind."), ("human", "Capital?"), ("gpt", "Of what?"), ("human", "France"), ("gpt", "Paris")]
    rows = [{"c": [{"from": name, "value": text, "role": None, "weight": None} for name, text in says]}]
    (item,) = planned(tmp_path, {"generate": spec}, rows).items
    expected = "<system>Be kind.\n<user>Capital?\n<assistant>Of what?\n<user>France\n<assistant>"
    assert (item.prompt, item.expected) == (expected, "Paris")


@pytest.mark.parametrize("silent", [{}, {"content": None}])
def test_a_turn_that_calls_a_tool_may_say_nothing(tmp_path: Path, silent: dict[str, None]) -> None:
    """OpenAI's shape: null or no content beside `tool_calls`, then the tool's answer. Otherwise the turn is named."""
    spec = {"data": "rows.jsonl", "messages": "{{m}}", "answer": "22"}
    call = {"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    turns = [{"role": "user", "content": "How warm?"}, {**call, **silent}, {"role": "tool", "content": "22"}]
    (item,) = planned(tmp_path, {"generate": spec}, [{"m": turns}]).items
    assert item.prompt == "<user>How warm?\n<assistant>\n<tool>22\n<assistant>"
    turns[1] = {"role": "assistant", **silent}
    told = refusal(tmp_path, {"generate": spec}, [{"m": turns}])
    assert told.startswith("rows.jsonl:1: tasks.t.generate.messages[1]: expected {role, content} with text in both")


def test_messages_written_as_a_text_are_refused(tmp_path: Path) -> None:
    """A CSV cell with the JSON of a conversation is not what a user says."""
    spec = {"data": "rows.jsonl", "messages": "{{m}}", "answer": "x"}
    told = refusal(tmp_path, {"generate": spec}, [{"m": json.dumps([{"role": "user", "content": "Hi"}])}])
    assert "rows.jsonl:1: tasks.t.generate.messages: expected a list of messages, got one written as a string" in told


@pytest.mark.fault("T33", "chat content in parts", "read where all are text")
def test_content_parts_that_are_text_are_read(tmp_path: Path) -> None:
    """One line each; an image is refused in a sentence."""
    spec = {"data": "rows.jsonl", "messages": "{{m}}", "answer": "x"}
    parts: list[dict[str, object]] = [{"type": "text", "text": "Look:"}, {"type": "text", "text": "a cat"}]
    plan = planned(tmp_path, {"generate": spec}, [{"m": [{"role": "user", "content": parts}]}])
    assert plan.items[0].prompt == "<user>Look:\na cat\n<assistant>"
    parts.append({"type": "image_url", "image_url": {"url": "x"}})
    told = refusal(tmp_path, {"generate": spec}, [{"m": [{"role": "user", "content": parts}]}])
    assert told.endswith("messages[0]: expected content parts of the type text, got one of the type image_url")


@pytest.mark.fault(
    "T34", "a byte order mark, CRLF, blank lines, U+2028, a long id, embedded newlines", "right as before"
)
def test_odd_files_stay_right(tmp_path: Path) -> None:
    """Told with their lines; `1e3` as an id is `1e3`."""
    number = "123456789012345678901234567890"
    content = f'\ufeff{{"q": "a\u2028b", "i": {number}, "a": "x"}}\r\n\r\n{{"q": "c", "i": 1e3, "a": "y"}}\r\n'
    (tmp_path / "rows.jsonl").write_bytes(content.encode())
    plan = planned(tmp_path, {"generate": GENERATE, "id": "i"})
    assert [item.item for item in plan.items] == [number, "1e3"]
    assert plan.items[0].prompt == "a\u2028b"
    assert plan.said[0] == "rows.jsonl: 3 lines (1 blank) → 2 rows"
    (tmp_path / "rows.csv").write_bytes(b'\xef\xbb\xbfq,a\r\n"two\r\nlines, ""quoted""",1\r\n\r\nplain,2\r\n')
    assert rows_of(tmp_path / "rows.csv") == [{"q": 'two\r\nlines, "quoted"', "a": "1"}, {"q": "plain", "a": "2"}]
    assert read_table(tmp_path / "rows.csv", "x", "").said == "5 lines (1 of them the header, 1 blank) → 2 rows"
    (tmp_path / "rows.csv").write_text('q,a\n"two\nlines",1\nonly one\n')
    assert told(tmp_path / "rows.csv") == "rows.csv:4: expected 2 columns as in the header"


@pytest.mark.fault("S6", "JSON nested 100,000 deep", "a row's mistake, exit 2")
@pytest.mark.parametrize("name", ["deep.jsonl", "deep.json"])
def test_deep_nesting_is_a_rows_mistake(tmp_path: Path, name: str) -> None:
    """No traceback: the line is named."""
    deep = '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"
    (tmp_path / name).write_text(f'[{{"a": 1}},\n{deep}]' if name.endswith("n") else f'{{"a": 1}}\n{deep}\n')
    message = told(tmp_path / name)
    assert message.startswith(f"{name}:2: expected ")
    assert "nested too deeply" in message


cells = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=10)
tables = st.lists(st.tuples(cells, cells), min_size=1, max_size=6)


@pytest.mark.fault(
    "kind: rows lost between file and items", "random cells with quotes and separators, CSV and TSV", "all read back"
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables)
def test_what_is_written_is_read_back(tmp_path: Path, table: Sequence[tuple[str, str]]) -> None:
    """A CSV by Python's writer, JSON lines, a JSON list, and a TSV written plainly: as many rows, the same cells."""
    rows = [{"a": one, "b": other} for one, other in table]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([("a", "b"), *table])
    (tmp_path / "x.csv").write_bytes(stream.getvalue().encode())
    (tmp_path / "x.jsonl").write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
    (tmp_path / "x.json").write_bytes(json.dumps(rows, indent=1, ensure_ascii=False).encode())
    for name in ("x.csv", "x.jsonl", "x.json"):
        assert rows_of(tmp_path / name) == rows
    plain = "a\tb\n" + "".join(f"{one}\t{other}\n" for one, other in table)
    (tmp_path / "x.tsv").write_bytes(plain.encode())
    if (
        any('"' in cell for row in table for cell in row)
        and "quotes are text" not in read_table(tmp_path / "x.tsv", "", "").said
    ):
        rows = [{name: QUOTES.sub(_unquoted, cell) for name, cell in row.items()} for row in rows]
    assert rows_of(tmp_path / "x.tsv") == rows


QUOTES = re.compile(r'^"(.*)"$', re.DOTALL)


def _unquoted(found: re.Match[str]) -> str:
    return found[1].replace('""', '"')


FOREIGN = [
    ("d.csv", "q,a\nx,1\n".encode("utf-16"), "d.csv: KEY: expected UTF-8 text, this is UTF-16: save it as UTF-8"),
    (
        "d.jsonl",
        gzip.compress(b'{"q": "x"}', mtime=0),
        "d.jsonl: KEY: expected UTF-8 text, this is a gzip file: end its name",
    ),
    ("d.csv", b"PK\x03\x04\x14\x00\x06\x00\xff", "d.csv: KEY: expected UTF-8 text, this is a zip file or a workbook"),
    ("d.csv", "q,a\nx,1\ncafé,2\n".encode("cp1252"), "d.csv:3: KEY: expected UTF-8 text, got the byte 0xe9"),
    ("d.jsonl", b'{"q": "x", "a": 1},\n', "d.jsonl:1: expected one JSON object per line: remove the trailing comma"),
    (
        "d.jsonl",
        b'{"a": ' + b"9" * 5000 + b"}\n",
        "d.jsonl:1: expected one JSON object per line: a number of 5,000 digits",
    ),
    ("d.csv", b'"q";"a"\n"x, y";1\n', "d.csv:1: expected columns separated by a comma, this header has a semicolon"),
    ("d.csv", b'q,a\nw,1\n"x,1\ny,2\nz,3\n', "d.csv:3: broken CSV: a quote opens in this record and never ends"),
]


@pytest.mark.fault(
    "T33", "UTF-16, Windows-1252, gzip and workbooks under another name, a quote without end", "its line"
)
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    FOREIGN,
    ids=("utf-16", "gzip", "workbook", "cp1252", "comma", "digits", "semicolon", "quote"),
)
def test_a_file_of_another_kind_says_what_it_is(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    """One line with the place, what came and what to do; no library's words."""
    (tmp_path / name).write_bytes(content)
    told = refusal(tmp_path, {"generate": {"data": name, "prompt": "{{q}}", "answer": "{{a}}"}})
    assert told.startswith(expected.replace("KEY", "tasks.t.generate.data"))
    assert len(told.splitlines()) == 1
