"""The base of every service's tables: one metadata, PostgreSQL's own constraint names, short column types.

Constraints are named as PostgreSQL names them, so migrations stay plain SQL and still agree with the
metadata. Each service keeps its tables in its own `tables.py`; only `migrations/env.py` sees them all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from sqlalchemy import ARRAY, TIMESTAMP, BigInteger, LargeBinary, MetaData, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

Id: TypeAlias = Annotated[str, mapped_column(Uuid(as_uuid=False))]
"""A UUID, as text in Python: ids pass through, nobody computes with them."""
Time: TypeAlias = Annotated[datetime, mapped_column(TIMESTAMP(timezone=True))]
Big: TypeAlias = Annotated[int, mapped_column(BigInteger)]
Words: TypeAlias = Annotated[list[str], mapped_column(ARRAY(Text))]
Json: TypeAlias = Annotated[Any, mapped_column(JSONB(none_as_null=True))]
Bytes: TypeAlias = Annotated[bytes, mapped_column(LargeBinary)]


class Base(DeclarativeBase):
    """All tables of the record."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "ck": "%(table_name)s_%(constraint_name)s_check",
        }
    )
    type_annotation_map = {str: Text}  # noqa: RUF012 - SQLAlchemy reads it from the class
