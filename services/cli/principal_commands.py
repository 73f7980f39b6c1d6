"""`astra principals`: who may call, with which scopes; made and revoked as the database's owner."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import make_url

from services.cli.configuration import environment
from services.cli.embedded import SUPERUSER
from services.cli.reporting import report, say
from services.cli.show import table
from services.cli.spelling import JsonOption, StateOption, group
from services.cli.state import DEFAULT_STATE_DIR, StateDirectory

app = group("See who may call; make and revoke tokens. Reads OWNER_DATABASE_URL, else the stack that runs.")


@app.command("list")
def list_principals(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List the principals of the default tenant with their scopes, never their tokens."""

    def work() -> None:
        from services.astra.principal_admin import list_principals as listed  # noqa: PLC0415 - loads Alembic

        found = listed(owner_url(state, environment()))
        if as_json:
            print(json.dumps([asdict(each) for each in found], default=str))
            return
        rows = [(each.name, "yes" if each.has_token else "no", " ".join(each.scopes)) for each in found]
        print(table([("name", "token", "scopes"), *rows]))

    report(work)


@app.command("add")
def add(
    name: str,
    scope: Annotated[list[str], typer.Option(help='As in "runs_read"; may be repeated.')],
    state: StateOption = DEFAULT_STATE_DIR,
) -> None:
    """Make a principal and print its token, once."""

    def work() -> None:
        from services.astra.principal_admin import add_principal  # noqa: PLC0415 - loads Alembic

        print(add_principal(owner_url(state, environment()), name, scope))
        say(f"made {name}; its token is shown this once")

    report(work)


@app.command("revoke")
def revoke(name: str, state: StateOption = DEFAULT_STATE_DIR) -> None:
    """Take a principal's token; services forget it within half a minute."""

    def work() -> None:
        from services.astra.principal_admin import revoke_principal  # noqa: PLC0415 - loads Alembic

        revoke_principal(owner_url(state, environment()), name)
        say(f"revoked {name}")

    report(work)


def owner_url(state_dir: Path, environment: Mapping[str, str]) -> str:
    """The database as its owner: the one that is named, or the embedded one of the stack on `state_dir`."""
    if url := environment.get("OWNER_DATABASE_URL"):
        return url
    state = StateDirectory(state_dir)
    running = make_url(state.running_stack().operator_database_url)
    owner = running.set(username=SUPERUSER, password=state.secrets().superuser_password)
    return owner.render_as_string(hide_password=False)
