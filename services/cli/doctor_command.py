"""`astra doctor`: what is running, what is configured, what is missing."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from services.cli.configuration import environment
from services.cli.doctor import FAILING, examine
from services.cli.doctor_database import examine_database
from services.cli.doctor_quotas import examine_quotas
from services.cli.doctor_tools import examine_tools
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR, StateDirectory

app = group()


@command(app, "doctor")
async def doctor(
    source: Annotated[str, typer.Option(help="github: ask GitHub itself whether the App is set up.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> bool:
    """Say what is running, what is configured and what is missing. Exits 1 when something needed is."""
    if source not in ("", "github"):
        raise typer.BadParameter("choose github, or leave it out")
    if source == "github":
        from services.cli.doctor_github import examine_github  # noqa: PLC0415 - loads the vendor's client

        findings = await examine_github(state, environment())
    else:
        findings = [
            *await examine(StateDirectory(state), environment()),
            *await examine_database(environment()),
            *await examine_tools(state),
            *await examine_quotas(state),
        ]
    if as_json:
        print(json.dumps([asdict(each) for each in findings]))
    else:
        print(*findings, sep="\n")
    return not any(each.verdict in FAILING for each in findings)
