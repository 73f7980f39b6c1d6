"""Checks a request with Google's own description of its API.

`google_discovery.json` is an excerpt of Google's discovery document, made by `scripts/google_discovery.py`:
which parameters a method takes, of which type and within which limits, and which fields a body may have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, cast

from services.sandbox.google_domain import RefusedError

Facts: TypeAlias = Mapping[str, Any]
_FILE = Path(__file__).with_name("google_discovery.json")
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "object": dict,
    "array": list,
    "number": (int, float),
}


@cache
def description() -> Facts:
    """The excerpt."""
    return json.loads(_FILE.read_text(encoding="utf-8"))


def check(method: str, parameters: Mapping[str, str], body: object) -> None:
    """Raise RefusedError unless Google's description lets this call be made."""
    told: Facts = description()["methods"][f"drive.{method}"]
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
        _check_object(told["request"], body)


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


def _check_object(schema: str, value: object) -> None:
    if not isinstance(value, dict):
        raise RefusedError(400, "parseError", "The body is no JSON object.")
    properties: Facts = description()["schemas"][schema]
    for name, given in cast("dict[str, object]", value).items():
        facts = properties.get(name)
        if facts is None:
            raise RefusedError(400, "badRequest", f"Invalid JSON payload: unknown name {name!r} in {schema}.")
        if facts.get("readOnly"):
            raise RefusedError(403, "fieldNotWritable", f"{schema}.{name} is output only.")
        if "$ref" in facts:
            _check_object(facts["$ref"], given)
        elif not isinstance(given, _TYPES[facts["type"]]):
            raise RefusedError(400, "badRequest", f"Invalid value for {schema}.{name}.")
