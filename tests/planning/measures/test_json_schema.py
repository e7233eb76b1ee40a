"""`json_schema`: which answers count as JSON, what is told of the others, and which schemas are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.engines.protocol import Generation
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.records.items import ItemRecord, Scored

LoadSuite = Callable[..., Any]
WriteRows = Callable[..., str]
ROWS = [{"text": f"Item {n}"} for n in range(3)]
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "size": {"$ref": "#/$defs/size"}},
    "required": ["name"],
    "$defs": {"size": {"type": "integer", "minimum": 0}},
}


@pytest.fixture
def planned(tmp_path: Path, suite_of: LoadSuite, write_rows: WriteRows) -> Callable[..., TaskPlan]:
    """A plan with this schema, as an object or as the file's text."""

    def plan(rules: object = SCHEMA, **more: object) -> TaskPlan:
        write_rows("rows.jsonl", ROWS)
        (tmp_path / "file.json").write_text(rules if isinstance(rules, str) else json.dumps(rules))
        spec = {"data": "rows.jsonl", "prompt": "{{text}}:", "metric": "json_schema", "schema": "file.json", **more}
        loaded = suite_of({"t": {"generate": spec}})
        (found,) = plan_suite(loaded, ScriptedTokenizer(), context_length=None)
        return found

    return plan


def answered(plan: TaskPlan, text: str) -> ItemRecord:
    return plan.score(0, [Generation(text=text, tokens=(1,), finish="stop")])


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "a"}',
        '  {"name": "a", "size": 3}\n',
        '```json\n{"name": "a"}\n```',
        '```\n{"name": "a"}\n```\n',
    ],
)
def test_plain_and_fenced_json_is_valid(planned: Callable[..., TaskPlan], text: str) -> None:
    """Also with spaces around it. Nothing is stored of a valid answer but that it is."""
    record = answered(planned(), text)
    assert record.metrics == {"json_schema": Scored(value=1.0)}
    assert "reasons" not in record.model_dump_json()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON: Expecting value"),
        ('Here it is: {"name": "a"}', "not JSON: Expecting value"),
        ('{"name": "a"} Hope it helps!', "not JSON: Extra data"),
        ('{"name": "a"', "not JSON: Expecting ',' delimiter"),
        ('{"name": "a", "size": NaN}', "not JSON: NaN is not allowed in it"),
        ("[" * 100_000, "not JSON"),
        ('{"size": 1}', "$: 'name' is a required property"),
        ('{"name": "a", "size": -1}', "$.size: -1 is less than the minimum of 0"),
        ('```json\n{"name": 3}\n```', "$.name: 3 is not of type 'string'"),
    ],
)
def test_the_first_thing_that_is_wrong_is_kept(planned: Callable[..., TaskPlan], text: str, says: str) -> None:
    """An answer that is no JSON, or not the schema's, is wrong and no failure of the harness."""
    record = answered(planned(), text)
    assert record.metrics == {"json_schema": Scored(value=0.0)}
    assert record.reasons["json_schema"].startswith(says)
    assert ItemRecord.model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("{", "file.json: tasks.t.generate.schema: expected a JSON Schema, got no JSON"),
        ([1], "expected a JSON Schema (an object, true or false), got list"),
        ({"type": "strin"}, "not a JSON Schema: $.type: 'strin' is not valid"),
        ({"name": "Anna", "size": 3}, "none of its keys is JSON Schema's"),
        ({"$ref": "https://example.com/person.json"}, "nothing is fetched: copy it into $defs"),
        ({"properties": {"a": {"$ref": "#/$defs/missing"}}}, "$ref '#/$defs/missing' is not in the schema"),
        ({"$schema": "https://example.com/own", "type": "object"}, "no dialect"),
    ],
)
def test_schemas_that_are_refused(planned: Callable[..., TaskPlan], schema: object, says: str) -> None:
    """Before the run, with the file and the key; a reference to elsewhere is never fetched."""
    with pytest.raises(SuiteError) as caught:
        planned(schema)
    assert says in str(caught.value)


def test_references_inside_a_schema_with_an_id(planned: Callable[..., TaskPlan]) -> None:
    """By its own URI, by a nested one, in drafts old and new."""
    inner = {"$id": "https://example.com/size", "type": "integer"}
    for dialect in ("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"):
        schema = {
            "$schema": dialect,
            "$id": "https://example.com/whole",
            "type": "object",
            "properties": {"size": {"$ref": "https://example.com/size"}, "again": {"$ref": "#/properties/size"}},
            "definitions": {"size": inner},
        }
        plan = planned(schema)
        assert answered(plan, '{"size": 2}').metrics == {"json_schema": Scored(value=1.0)}
        assert answered(plan, '{"again": "x"}').metrics == {"json_schema": Scored(value=0.0)}


def test_the_schema_is_part_of_the_identity(planned: Callable[..., TaskPlan]) -> None:
    """Another rule is another task; other spaces in the file are not."""
    first = planned().hash
    assert planned(json.dumps(SCHEMA, indent=4)).hash == first
    assert planned({**SCHEMA, "required": []}).hash != first


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"schema": None}, "json_schema needs schema: FILE.json"),
        ({"metric": "exact_match", "answer": "{{text}}"}, "only json_schema looks at it"),
        ({"schema": "other.json"}, "other.json: tasks.t.generate.schema: no such file"),
        ({"num_few_shot": 2, "few_shot": "rows.jsonl"}, "worked examples show their answers: add answer"),
        ({"metric": ["json_schema", "json_schema"]}, "json_schema is asked for twice"),
    ],
)
def test_what_does_not_go_together(planned: Callable[..., TaskPlan], more: dict[str, object], says: str) -> None:
    """A schema without its metric, a metric without its schema, examples without answers."""
    with pytest.raises(SuiteError) as caught:
        planned(**more)
    assert says in str(caught.value)
