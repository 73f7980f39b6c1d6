"""`astra migrate` and `astra sql`: the database as its owner and its operators see it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict

from services.astra.principals import PRINCIPALS
from services.cli.configuration import environment, operators, token_variable, wanted
from services.cli.embedded import postgres_binary
from services.cli.reporting import report, say
from services.cli.spelling import StateOption, group
from services.cli.state import DEFAULT_STATE_DIR, StateDirectory

PSQL_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
}
app = group()


@app.command()
def migrate() -> None:
    """Bring the database up to date: schema, roles and the first rows. Reads OWNER_DATABASE_URL."""
    report(lambda: _migrate(environment()))


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="Query to run. Empty: open psql.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
) -> None:
    """Query the record as the operator role, which reads everything and writes nothing."""
    report(lambda: _become_psql(state, environment(), query))


def _migrate(environment: Mapping[str, str]) -> None:
    """Upgrade the schema and seed, as the chart's migration Job does.

    Reads OWNER_DATABASE_URL, <ROLE>_DATABASE_PASSWORD for service, relay and operator, and the token of each
    principal to seed (<PRINCIPAL>_TOKEN, API_KEY); a principal without one is left as it is. Also
    OPERATOR_IDENTITIES: nobody else may act as operator in a comment.
    """
    from services.astra.migrate import RolePasswords, migrate  # noqa: PLC0415 - loads Alembic
    from services.astra.seed import seed  # noqa: PLC0415

    roles = ("service", "relay", "operator")
    names = ["OWNER_DATABASE_URL", *(f"{role.upper()}_DATABASE_PASSWORD" for role in roles)]
    owner, *passwords = wanted(environment, names, "the migration needs the owner and makes the roles")
    migrate(owner, RolePasswords(*passwords))
    known = {name: environment.get(token_variable(name), "") for name in PRINCIPALS}
    given = {name: token for name, token in known.items() if token}
    seed(owner, given, operators=operators(environment))
    say("the database is up to date")


def _become_psql(state_dir: Path, environment: Mapping[str, str], query: str) -> None:
    """Replace this process by psql as the operator role; the URL goes by environment, not by argument."""
    url = environment.get("OPERATOR_DATABASE_URL")
    url = url or StateDirectory(state_dir).running_stack().operator_database_url
    arguments = ["psql", "--no-psqlrc", *(["--command", query] if query else [])]
    known = conninfo_to_dict(url)
    connection = {variable: str(known[name]) for name, variable in PSQL_VARIABLES.items() if name in known}
    os.execve(postgres_binary("psql"), arguments, {**os.environ, **connection})  # noqa: S606
