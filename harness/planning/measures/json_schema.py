"""`json_schema`: whether an answer is JSON that a JSON Schema allows. Fetches nothing: references stay in the schema.

An answer is plain JSON, or one fenced block (```json) that is all of it; other text around it is not. `format` is
an annotation, as the specification has it, and checks nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from harness.datafiles.rows import problem
from harness.errors import SuiteError
from harness.planning.measures.answered import Answered, Measure, Unfit
from harness.suite.input_limits import unreadable
from harness.suite.load import LoadedSuite
from harness.suite.locations import resolve_file

FENCED = re.compile(r"\s*```(?:json|JSON)?[ \t]*\n(?P<inside>.*?)\n?[ \t]*```\s*", re.DOTALL)
MOST_BYTES = 2_000_000
SHOWN = 300


class Validator(Protocol):
    """What is used of jsonschema's validators."""

    def iter_errors(self, instance: object) -> Iterator[Any]:
        """Everything that is wrong with a value."""


def json_schema(loaded: LoadedSuite, file: str, key: str) -> tuple[Measure, Mapping[str, object]]:
    """The metric of a schema file, and what identifies it. Raises `SuiteError` for a file that is no usable schema."""
    schema = _read(resolve_file(loaded, file), file, key)
    validator = _validator(schema, file, key)

    def measure(answered: Answered) -> float:
        says = why_not(validator, answered.answer)
        if says is not None:
            raise Unfit(says)
        return 1.0

    from importlib.metadata import version

    return measure, {"schema": schema, "jsonschema": version("jsonschema")}


def why_not(validator: Validator, answer: str) -> str | None:
    """The first thing that is wrong with an answer; None for a valid one."""
    fenced = FENCED.fullmatch(answer)
    try:
        value = json.loads(fenced["inside"] if fenced else answer, parse_constant=_no_constant)
    except RecursionError:
        return "not JSON: nested too deeply"
    except ValueError as error:
        return f"not JSON: {error}"
    from jsonschema.exceptions import best_match

    try:
        first = best_match(validator.iter_errors(value))
    except RecursionError:
        return "nested too deeply to be checked"
    return None if first is None else f"{first.json_path}: {first.message}"[:SHOWN]


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed in it")


def _read(path: Path, file: str, key: str) -> Any:
    try:
        if (instead := unreadable(path)) is not None:
            raise problem(file, key, f"expected a JSON Schema, got {instead}")
        if path.stat().st_size > MOST_BYTES:
            raise problem(file, key, "a JSON Schema of over 2 MB is none")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise problem(file, key, "no such file") from None
    except SuiteError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise problem(file, key, f"expected a JSON Schema, got no JSON: {error or 'nested too deeply'}") from error


def _validator(schema: Any, file: str, key: str) -> Validator:
    try:
        import jsonschema
        from referencing import Registry
    except ImportError as error:
        says = f"json_schema needs the package jsonschema ({error}): pip install 'quantgate[transformers]'"
        raise problem(file, key, says) from error
    if not isinstance(schema, dict | bool):
        raise problem(file, key, f"expected a JSON Schema (an object, true or false), got {type(schema).__name__}")
    if isinstance(schema, dict) and "$schema" not in schema and _looks_like_data(schema):
        raise problem(file, key, "none of its keys is JSON Schema's: it would allow everything; is it an example?")
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    declared = schema.get("$schema") if isinstance(schema, dict) else None
    if declared is not None and kind is jsonschema.Draft202012Validator and "2020-12" not in str(declared):
        raise problem(file, key, f"$schema: no dialect {declared!r} is known")
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise problem(file, key, f"not a JSON Schema: {error.json_path}: {error.message}"[:SHOWN]) from error
    _check_references(schema, file, key)
    found: Validator = kind(schema, registry=Registry())
    return found


def _looks_like_data(schema: dict[str, Any]) -> bool:
    import jsonschema

    known = set(jsonschema.Draft202012Validator.VALIDATORS) | {"$defs", "definitions", "$id", "title", "description"}
    return bool(schema) and not known & schema.keys()


def _check_references(schema: Any, file: str, key: str) -> None:
    """Every reference must be resolved within the schema, by its ids and anchors. Raises `SuiteError`."""
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012, specification_with

    declared = schema.get("$schema") if isinstance(schema, dict) else None
    dialect = specification_with(declared) if isinstance(declared, str) else DRAFT202012
    whole = dialect.create_resource(schema)
    registry = Registry().with_resource(whole.id() or "", whole)
    for base, reference in _references(schema, whole.id() or ""):
        try:
            registry.resolver(base).lookup(reference)
        except Unresolvable as error:
            says = f"$ref {reference!r} is not in the schema, and nothing is fetched: copy it into $defs"
            raise problem(file, key, says) from error


def _references(node: Any, base: str) -> Iterator[tuple[str, str]]:
    """Every `$ref` with the URI that it is relative to."""
    from urllib.parse import urljoin

    pending = [(node, base)]
    while pending:
        each, base = pending.pop()
        if isinstance(each, dict):
            inner = each.get("$id")
            base = urljoin(base, inner) if isinstance(inner, str) and not inner.startswith("#") else base
            if isinstance(each.get("$ref"), str):
                yield base, each["$ref"]
            pending += [(value, base) for name, value in each.items() if name not in ("enum", "const", "examples")]
        elif isinstance(each, list):
            pending += [(value, base) for value in each]
