"""Bring a database to this release: roles with their passwords, then the migrations.

`astra migrate` and `astra up` call it as the database's owner. Making the two roles that look past
row-level security takes a superuser, or an owner with CREATEROLE and BYPASSRLS.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Connection, MetaData, NullPool, create_engine, text

from services.common.told import ToldToPeople

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
CONNECT_SECONDS = 5
VECTOR_NEEDED = (0, 8)
"""The first pgvector that reads on in its index until it has found enough rows of a tenant."""
_LOCK_KEY = 0x4173_7472_61  # "Astra": one migration of a database at a time


@dataclass(frozen=True, slots=True)
class RolePasswords:
    """Passwords of the roles that services and people connect as."""

    service: str
    relay: str
    operator: str


class VectorMissing(ToldToPeople, Exception):
    """PostgreSQL lacks pgvector, or keeps it from this owner; says what to do."""


def migrate(owner_url: str, passwords: RolePasswords) -> None:
    """Make or update the roles and upgrade the schema to the newest revision; safe to repeat.

    `owner_url` is a libpq URL. Raises VectorMissing, and what psycopg and Alembic raise; a failed upgrade
    changes nothing.
    """
    with owner_transaction(owner_url) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        _ensure_vector(connection)
        _ensure_role(connection, "astra_service", "NOBYPASSRLS", passwords.service)
        _ensure_role(connection, "astra_relay", "BYPASSRLS", passwords.relay)
        _ensure_role(connection, "astra_operator", "BYPASSRLS", passwords.operator)
        command.upgrade(alembic_config(connection), "head")


def vector_problem(available: str | None, installed: str | None, *, superuser: bool) -> str:
    """What keeps pgvector from being used, by its versions here; empty: nothing."""
    needed = ".".join(map(str, VECTOR_NEEDED))
    version = installed or available
    if version is None:
        return f"PostgreSQL has no pgvector: install version {needed} or newer on its machine"
    if tuple(int(part) for part in version.split(".")[:2]) < VECTOR_NEEDED:
        return f"pgvector is {version} and has to be {needed} or newer: update it, then the extension"
    if installed is None and not superuser:
        return "pgvector is not in this database: have a superuser run CREATE EXTENSION vector in it"
    return ""


VECTOR_QUERY = (
    "SELECT max(default_version), max(installed_version),"
    " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
    " FROM pg_available_extensions WHERE name = 'vector'"
)
"""What `vector_problem` goes by."""


@contextmanager
def owner_transaction(owner_url: str) -> Iterator[Connection]:
    """One transaction as the database's owner, on a connection of its own."""
    url = owner_url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})
    with engine.begin() as connection:
        yield connection


def alembic_config(connection: Connection, metadata: MetaData | None = None) -> Config:
    """Alembic's settings for work on this connection; `metadata` is what the schema is compared with."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    return config


def _ensure_vector(connection: Connection) -> None:
    """Raise VectorMissing unless the migrations can have pgvector."""
    available, installed, superuser = connection.execute(text(VECTOR_QUERY)).one()
    if problem := vector_problem(available, installed, superuser=superuser):
        raise VectorMissing(f"{problem}.")


def _ensure_role(connection: Connection, role: str, rights: str, password: str) -> None:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    # Only a verifier leaves this process, so the server's log cannot hold the password.
    verifier = raw.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    name = sql.Identifier(role)
    known = raw.execute("SELECT rolbypassrls FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    if known is None:
        raw.execute(sql.SQL("CREATE ROLE {} LOGIN {}").format(name, sql.SQL(rights)))  # pyright: ignore[reportArgumentType]
    raw.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(verifier)))
