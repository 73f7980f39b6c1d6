"""Checks a request with Google's own descriptions of its APIs.

`google_discovery.json` and `google_docs_discovery.json` are excerpts of Google's discovery documents, made by
`scripts/google_discovery.py`: which parameters a method takes, of which type and within which limits, and
which fields a body may have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, cast

from services.sandbox.google_domain import RefusedError

Facts: TypeAlias = Mapping[str, Any]
_FILES = {"drive": "google_discovery.json", "docs": "google_docs_discovery.json"}
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "object": dict,
    "array": list,
    "number": (int, float),
}


@cache
def description(api: str) -> Facts:
    """The excerpt of "drive" or "docs"."""
    return json.loads(Path(__file__).with_name(_FILES[api]).read_text(encoding="utf-8"))


def check(method: str, parameters: Mapping[str, str], body: object) -> None:
    """Raise RefusedError unless Google's description lets this call be made, as of "drive.files.get"."""
    known = description(method.partition(".")[0])
    told: Facts = known["methods"][method]
    for name, value in parameters.items():
        if name not in told["parameters"]:
            raise RefusedError(400, "badRequest", f"Invalid JSON payload: unknown name {name!r}.")
        _check_parameter(name, told["parameters"][name], value)
    for name, facts in told["parameters"].items():
        if facts.get("required") and name not in parameters:
            raise RefusedError(400, "required", f"Required parameter: {name}")
    if body is not None:
        if "request" not in told:
            raise RefusedError(400, "badRequest", "This method takes no body.")
        _check_object(known["schemas"], told["request"], body)


def _check_parameter(name: str, facts: Facts, value: str) -> None:
    wrong = RefusedError(400, "invalidParameter", f"Invalid value {value[:40]!r} for {name}.")
    if facts["type"] == "boolean" and value not in ("true", "false"):
        raise wrong
    if facts["type"] == "integer":
        if not value.removeprefix("-").isdecimal():
            raise wrong
        low, high = int(facts.get("minimum", value)), int(facts.get("maximum", value))
        if not low <= int(value) <= high:
            raise wrong
    if "enum" in facts and value not in facts["enum"]:
        raise wrong


def _check_object(schemas: Facts, schema: str, value: object) -> None:
    if not isinstance(value, dict):
        raise RefusedError(400, "parseError", "The body is no JSON object.")
    properties: Facts = schemas[schema]
    for name, given in cast("dict[str, object]", value).items():
        facts = properties.get(name)
        if facts is None:
            raise RefusedError(400, "badRequest", f"Invalid JSON payload: unknown name {name!r} in {schema}.")
        if facts.get("readOnly"):
            raise RefusedError(403, "fieldNotWritable", f"{schema}.{name} is output only.")
        _check_value(schemas, f"{schema}.{name}", facts, given)


def _check_value(schemas: Facts, place: str, facts: Facts, given: object) -> None:
    """One value, and each within it."""
    if "$ref" in facts:
        _check_object(schemas, facts["$ref"], given)
        return
    if not isinstance(given, _TYPES[facts["type"]]) or given not in facts.get("enum", [given]):
        raise RefusedError(400, "badRequest", f"Invalid value for {place}.")
    if isinstance(given, list) and "items" in facts:
        for each in cast("list[object]", given):
            _check_value(schemas, place, facts["items"], each)
    if isinstance(given, dict) and "additionalProperties" in facts:
        for each in cast("dict[str, object]", given).values():
            _check_value(schemas, place, facts["additionalProperties"], each)
