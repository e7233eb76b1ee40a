"""The suite's JSON Schema, for editors: draft-07, which is what they read."""

from __future__ import annotations

from typing import Any

from harness.spec.models import Suite

DRAFT = "http://json-schema.org/draft-07/schema#"
PERCENT = {"type": "string", "pattern": r"^\s*[0-9.]+\s*%$"}
RELATIVE = ("max_relative_drop", "min_recovery", "min_retained", "max_increase", "min_ratio", "max_ratio")


def suite_schema() -> dict[str, Any]:
    """Schema of a suite file; keys that take a relative amount also take a percentage, `base` also a text,
    `noise_floor` also true or false."""
    schema = _draft07(Suite.model_json_schema())
    gate = schema["definitions"]["Gate"]["properties"]
    for name in RELATIVE:
        gate[name]["anyOf"].insert(0, PERCENT)
    schema["properties"]["base"]["anyOf"].insert(0, {"type": "string"})
    schema["properties"]["noise_floor"] |= {
        "anyOf": [{"type": "boolean"}, {"$ref": "#/definitions/NoiseFloor"}],
        "default": True,
    }
    return {"$schema": DRAFT, "title": "quantgate suite", **{k: v for k, v in schema.items() if k != "title"}}


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
