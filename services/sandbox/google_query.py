"""As much of Drive's query language as we ask: terms, joined by `and` and `or`, within brackets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from services.sandbox.google_domain import File, RefusedError

Holds: TypeAlias = Callable[[File], bool]
Words: TypeAlias = Callable[[File], str]
Term: TypeAlias = Callable[[File, Words, Sequence[str]], bool]
"""Whether a term holds for a file; its values are those between quotes."""
DEPTH_MAX = 10
_QUOTED = r"'((?:[^'\\]|\\.)*)'"


def query(text: str, words: Words) -> Holds:
    """Which files a query finds; empty: all. `words`: the text of a file. Raises RefusedError."""
    return _Reader(text, words).expression(0) if text else lambda file: True


class _Reader:
    """Reads one query, left to right; `and` binds closer than `or`."""

    def __init__(self, text: str, words: Words) -> None:
        self._rest = text.strip()
        self._words = words

    def expression(self, depth: int) -> Holds:
        """Up to the end, or to the bracket that closes this level."""
        either = [self._all(depth)]
        while self._take(r"or\b"):
            either.append(self._all(depth))
        if depth == 0 and self._rest:
            raise self._wrong()
        return lambda file: any(holds(file) for holds in either)

    def _all(self, depth: int) -> Holds:
        every = [self._one(depth)]
        while self._take(r"and\b"):
            every.append(self._one(depth))
        return lambda file: all(holds(file) for holds in every)

    def _one(self, depth: int) -> Holds:
        if depth < DEPTH_MAX and self._take(r"\("):
            inner = self.expression(depth + 1)
            if not self._take(r"\)"):
                raise self._wrong()
            return inner
        for pattern, term in _TERMS.items():
            if found := pattern.match(self._rest):
                self._rest = self._rest[found.end() :].lstrip()
                values = [re.sub(r"\\(.)", r"\1", each) for each in found.groups()]
                return lambda file: term(file, self._words, values)
        raise self._wrong()

    def _take(self, pattern: str) -> bool:
        found = re.match(pattern, self._rest)
        self._rest = self._rest[found.end() :].lstrip() if found else self._rest
        return found is not None

    def _wrong(self) -> RefusedError:
        return RefusedError(400, "invalid", f"Invalid Value: q {self._rest[:60]}")


def _in_parents(file: File, words: Words, values: Sequence[str]) -> bool:
    del words
    return values[0] in file.parents


def _of_type(file: File, words: Words, values: Sequence[str]) -> bool:
    del words
    return file.mime_type == values[0]


def _of_another_type(file: File, words: Words, values: Sequence[str]) -> bool:
    return not _of_type(file, words, values)


def _not_trashed(file: File, words: Words, values: Sequence[str]) -> bool:
    del file, words, values
    return True


def _named(file: File, words: Words, values: Sequence[str]) -> bool:
    """Drive looks for beginnings of words in names."""
    del words
    return f" {values[0].lower()}" in f" {file.name.lower()}"


def _holds_words(file: File, words: Words, values: Sequence[str]) -> bool:
    """And for whole words in texts, which count the name too."""
    return set(values[0].lower().split()) <= set(f"{file.name} {words(file)}".lower().split())


def _with_property(file: File, words: Words, values: Sequence[str]) -> bool:
    del words
    return file.properties.get(values[0]) == values[1]


_TERMS: Mapping[re.Pattern[str], Term] = {
    re.compile(rf"{_QUOTED}\s+in\s+parents"): _in_parents,
    re.compile(rf"mimeType\s*=\s*{_QUOTED}"): _of_type,
    re.compile(rf"mimeType\s*!=\s*{_QUOTED}"): _of_another_type,
    re.compile(r"trashed\s*=\s*(false)"): _not_trashed,
    re.compile(rf"name\s+contains\s+{_QUOTED}"): _named,
    re.compile(rf"fullText\s+contains\s+{_QUOTED}"): _holds_words,
    re.compile(rf"appProperties\s+has\s+\{{\s*key={_QUOTED}\s+and\s+value={_QUOTED}\s*\}}"): _with_property,
}
