"""As much of Drive's query language as we ask: terms, `or` within brackets, `and` between groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from services.sandbox.google_domain import File, RefusedError

Holds: TypeAlias = Callable[[File], bool]


def _in_parents(value: str) -> Holds:
    return lambda file: value in file.parents


def _of_type(value: str) -> Holds:
    return lambda file: file.mime_type == value


def _of_another_type(value: str) -> Holds:
    return lambda file: file.mime_type != value


def _not_trashed(value: str) -> Holds:
    del value
    return lambda file: True


_TERMS: Mapping[re.Pattern[str], Callable[[str], Holds]] = {
    re.compile(r"'([\w-]+)' in parents"): _in_parents,
    re.compile(r"mimeType\s*=\s*'([^']+)'"): _of_type,
    re.compile(r"mimeType\s*!=\s*'([^']+)'"): _of_another_type,
    re.compile(r"trashed\s*=\s*(false)"): _not_trashed,
}


def query(text: str) -> Holds:
    """Which files a query finds; empty: all. Raises RefusedError."""
    if not text:
        return lambda file: True
    groups = [
        [_term(each) for each in re.split(r"\s+or\s+", group.strip().removeprefix("(").removesuffix(")"))]
        for group in re.split(r"\s+and\s+", text)
    ]
    return lambda file: all(any(term(file) for term in group) for group in groups)


def _term(text: str) -> Holds:
    for pattern, holds in _TERMS.items():
        if found := pattern.fullmatch(text.strip()):
            return holds(found.group(1))
    raise RefusedError(400, "invalid", f"Invalid Value: q {text[:60]}")
