"""SQLAlchemy Core statements, compiled once each, as psycopg runs them.

SQLAlchemy says what a statement means; how it is sent is `database.py`'s. Its own way of sending switches a
greenlet at every wait and asks for a round trip with every statement (docs/adr/0011).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import JSON, BindParameter, ColumnElement, all_, any_, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.exc import MultipleResultsFound, NoResultFound
from sqlalchemy.orm import QueryableAttribute
from sqlalchemy.sql.cache_key import CacheKey
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

COMPILED_MAX = 2_000
"""Statements remembered; the platform has about a hundred shapes. Past it all are forgotten."""

Parameters: TypeAlias = Mapping[str, Any]
Column: TypeAlias = ColumnElement[Any] | QueryableAttribute[Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement in psycopg's words. `converters` are for parameters psycopg would not adapt by itself."""

    sql: bytes
    compiled: SQLCompiler
    converters: Sequence[tuple[str, Callable[[Any], Any]]]


class Result:
    """The rows of a statement, all fetched. Rows are named tuples; `rowcount` counts rows touched."""

    def __init__(self, rows: Sequence[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        """Every row."""
        return list(self._rows)

    def first(self) -> Any | None:
        """The first row, if there is one."""
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Any | None:
        """The only row, if there is one."""
        if len(self._rows) > 1:
            raise MultipleResultsFound
        return self.first()

    def one(self) -> Any:
        """The only row. Raises NoResultFound without one."""
        row = self.one_or_none()
        if row is None:
            raise NoResultFound
        return row

    def scalars(self) -> list[Any]:
        """The first column of every row."""
        return [row[0] for row in self._rows]

    def scalar_one_or_none(self) -> Any | None:
        """The first column of the only row, if there is one."""
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        """The first column of the only row."""
        return self.one()[0]


def one_of(
    column: ColumnElement[Any] | QueryableAttribute[Any], values: Iterable[Any]
) -> ColumnElement[bool]:
    """Whether a column holds one of the values: an array, so that one plan serves any number of them."""
    return column == any_(literal(list(values), ARRAY(column.type)))


def none_of(
    column: ColumnElement[Any] | QueryableAttribute[Any], values: Iterable[Any]
) -> ColumnElement[bool]:
    """Whether a column holds none of the values."""
    return column != all_(literal(list(values), ARRAY(column.type)))


def prepared(statement: ClauseElement, parameters: Parameters) -> tuple[bytes, dict[str, Any]]:
    """The statement's text and its parameters, those written into the statement included.

    Statements of one shape are compiled once, whatever values they hold: the key of a shape is the one
    SQLAlchemy's own engine remembers statements by.
    """
    key = statement._generate_cache_key()  # pyright: ignore[reportPrivateUsage]
    columns = tuple(sorted(parameters))
    if key is None:
        found, held = _compile(statement, None, columns), None
    else:
        found, held = _remembered.get((key.key, columns)), key.bindparams
        if found is None:
            if len(_remembered) >= COMPILED_MAX:
                _remembered.clear()
            found = _remembered[key.key, columns] = _compile(statement, key, columns)
    values = found.compiled.construct_params(dict(parameters), extracted_parameters=held)
    for name, convert in found.converters:
        values[name] = convert(values[name])
    return found.sql, dict(values)


def _compile(statement: ClauseElement, key: CacheKey | None, columns: Sequence[str]) -> Prepared:
    compiled = _DIALECT.statement_compiler(
        _DIALECT, statement, cache_key=key, column_keys=list(columns) or None
    )
    if compiled.post_compile_params:
        raise ValueError(
            "a list is asked for with one_of or none_of: IN is another statement for each length"
        )
    converters = ((name, _converter(bind)) for bind, name in compiled.bind_names.items())
    return Prepared(
        compiled.string.encode(), compiled, [(name, each) for name, each in converters if each is not None]
    )


def _converter(bind: BindParameter[Any]) -> Callable[[Any], Any] | None:
    """JSON alone: psycopg cannot tell a document from an array or a composite."""
    if isinstance(bind.type, JSON):
        return bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
    return None


_DIALECT = dialect()
_remembered: dict[tuple[Any, tuple[str, ...]], Prepared] = {}
