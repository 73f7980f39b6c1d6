"""What `astra doctor` says of a database of one's own: whether it has the pgvector that the record needs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import psycopg

from services.astra.migrate import VECTOR_QUERY, vector_problem
from services.cli.doctor import Finding

CONNECT_SECONDS = 3
VARIABLES = ("OWNER_DATABASE_URL", "DATABASE_URL", "OPERATOR_DATABASE_URL")
"""Any role may ask."""


async def examine_database(environment: Mapping[str, str]) -> list[Finding]:
    """Ask the database the environment names; nothing to say of the embedded one, which has it."""
    urls = [environment[name] for name in VARIABLES if environment.get(name)]
    if not urls:
        return []
    return [await asyncio.to_thread(_asked, urls[0])]


def _asked(url: str) -> Finding:
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS) as connection:
            found = connection.execute(VECTOR_QUERY.encode()).fetchone()
    except psycopg.OperationalError as error:
        return Finding("missing", "pgvector", f"the database cannot be asked: {type(error).__name__}")
    assert found is not None  # an aggregate always has a row
    available, installed, superuser = found
    problem = vector_problem(available, installed, superuser=superuser)
    if not problem:
        made = f"{installed} in the database" if installed else f"{available}; `astra migrate` makes it"
        return Finding("ok", "pgvector", made)
    return Finding("missing", "pgvector", problem)
