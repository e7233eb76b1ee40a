"""The suite's JSON Schema, for editors: draft-07, which is what they read."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from harness.forms import FORMS
from harness.metrics.repeats import NAME as OVER_ANSWERS
from harness.metrics.row import AgainstSchema, OfTexts, TextScore
from harness.metrics.table import METRICS, computed_by
from harness.suite.metric_names import LIBRARY, PYTHON
from harness.suite.models import Suite
from harness.suite.quantize_block import Calibration, Quantization
from harness.suite.values import Spec

DRAFT = "http://json-schema.org/draft-07/schema#"
PERCENT = {"type": "string", "pattern": r"^\s*[0-9.]+\s*%$"}


def suite_schema() -> dict[str, Any]:
    """Schema of a suite file; keys that take a relative amount also take a percentage, `base` and `import` also a
    string, `noise_floor` also a boolean."""
    schema = _draft07(_described(Suite.model_json_schema()))
    gate = schema["definitions"]["Gate"]["properties"]
    for key, form in FORMS.items():
        if form.percent:
            gate[key]["anyOf"].insert(0, PERCENT)
        if form.says:
            gate[key]["description"] = form.says
    gate["metric"] |= {"description": "One of these, or a metric of an lm-eval task.", "examples": list(METRICS)}
    one, several = schema["definitions"]["Generate"]["properties"]["metric"]["anyOf"]
    for metric in (one, several["items"]):
        ours = {"enum": [*computed_by(TextScore), *computed_by(OfTexts), *computed_by(AgainstSchema)]}
        others = (OVER_ANSWERS, PYTHON, LIBRARY)
        metric["anyOf"] = [ours, *({"pattern": _plain_pattern(each.pattern)} for each in others)]
    schema["properties"]["base"]["anyOf"].insert(0, {"type": "string"})
    schema["definitions"]["Variant"]["properties"]["import"]["anyOf"].insert(0, {"type": "string"})
    every = {"variants": {"additionalProperties": {"required": ["import"]}}}
    run = [key for key in schema["required"] if key not in ("suite", "variants")]
    schema["required"] = ["suite", "variants"]
    schema["anyOf"] = [{"required": run}, {"properties": every}]
    schema["properties"]["noise_floor"] |= {
        "anyOf": [{"type": "boolean"}, {"$ref": "#/definitions/NoiseFloor"}],
        "default": True,
    }
    return {"$schema": DRAFT, "title": "quantgate suite", **{k: v for k, v in schema.items() if k != "title"}}


def _plain_pattern(pattern: str) -> str:
    """A whole match without Python's names of groups, which JSON Schema does not know."""
    return f"^{re.sub(r'[?]P<[a-z]+>', '', pattern)}$"


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every field's docstring. pydantic would read them, and with them the source of every model, at
    the start of every command; only the schema needs them."""
    models = {model.__name__: model for root in (Spec, Quantization, Calibration) for model in _family(root)}
    for name, node in {Suite.__name__: schema, **schema["$defs"]}.items():
        for cls in reversed(models[name].__mro__ if name in models else ()):
            for attribute, text in _docstrings(cls).items():
                known = models[name].model_fields.get(attribute)
                field = attribute if known is None else known.alias or attribute
                if field in node.get("properties", {}):
                    node["properties"][field].setdefault("description", text)
    return schema


def _family(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for each in model.__subclasses__():
        yield from _family(each)


def _docstrings(cls: type) -> dict[str, str]:
    """The docstring below each annotated name of one of our classes; none for classes created at run time."""
    if not cls.__module__.startswith("harness."):
        return {}
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError):
        return {}
    assert isinstance(body, ast.ClassDef)
    return {
        above.target.id: inspect.cleandoc(below.value.value)
        for above, below in pairwise(body.body)
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


def _draft07(node: Any) -> Any:
    """pydantic writes draft 2020-12: `$defs` becomes `definitions`, a `$ref` with siblings goes into `allOf`."""
    if isinstance(node, list):
        return [_draft07(each) for each in node]
    if not isinstance(node, dict):
        return node
    changed = {("definitions" if key == "$defs" else key): _draft07(value) for key, value in node.items()}
    changed.pop("discriminator", None)  # OpenAPI's, unknown to draft-07; the constants of `method` tell as much
    if isinstance(changed.get("$ref"), str):
        reference = changed.pop("$ref").replace("#/$defs/", "#/definitions/")
        return {**changed, "allOf": [{"$ref": reference}]} if changed else {"$ref": reference}
    return changed
