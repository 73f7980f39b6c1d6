"""Google's partial answers: `fields` names what a caller wants, and nothing else is sent.

The language is `a,b(c,d),e/f,*`. Two traps of the real API are here on purpose: comments are refused without
`fields`, and what is not named is missing from the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from services.sandbox.google_domain import RefusedError

DEPTH_MAX = 10
Mask: TypeAlias = "dict[str, Mask]"
"""What is wanted of each field; empty: all of it."""


def partial(answer: object, fields: str, schema: str, schemas: Mapping[str, Any]) -> object:
    """The part of an answer that `fields` asks for. Raises RefusedError for a field the schema lacks."""
    mask = _Reader(fields).mask()
    _check(mask, schema, schemas)
    return _pick(answer, mask)


class _Reader:
    """Reads one expression, left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def mask(self, depth: int = 0) -> Mask:
        """Up to the end, or to the bracket that closes this level."""
        if depth > DEPTH_MAX:
            raise self._wrong()
        found: Mask = {}
        while True:
            self._path(found, depth)
            if self._peek() != ",":
                break
            self._at += 1
        if depth == 0 and self._at < len(self._text):
            raise self._wrong()
        return found

    def _path(self, into: Mask, depth: int) -> None:
        inner = into.setdefault(self._name(), {})
        while self._peek() == "/":
            self._at += 1
            inner = inner.setdefault(self._name(), {})
        if self._peek() == "(":
            self._at += 1
            inner.update(self.mask(depth + 1))
            if self._peek() != ")":
                raise self._wrong()
            self._at += 1

    def _name(self) -> str:
        begin = self._at
        while self._at < len(self._text) and (self._text[self._at].isalnum() or self._text[self._at] in "*_"):
            self._at += 1
        if begin == self._at:
            raise self._wrong()
        return self._text[begin : self._at]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _wrong(self) -> RefusedError:
        return RefusedError(400, "invalidParameter", f"Invalid field selection {self._text[self._at :][:40]}")


def _check(mask: Mask, schema: str, schemas: Mapping[str, Any]) -> None:
    for name, inner in mask.items():
        if name == "*":
            continue
        facts = schemas[schema].get(name)
        if facts is None:
            raise RefusedError(400, "invalidParameter", f"Invalid field selection {name}")
        target = facts.get("$ref") or facts.get("items", {}).get("$ref")
        if inner and target:
            _check(inner, target, schemas)


def _pick(answer: object, mask: Mask) -> object:
    if isinstance(answer, list):
        return [_pick(each, mask) for each in cast("list[object]", answer)]
    if not mask or "*" in mask or not isinstance(answer, dict):
        return answer
    told = cast("dict[str, object]", answer)
    return {name: _pick(told[name], inner) for name, inner in mask.items() if name in told}
