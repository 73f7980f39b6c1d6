"""`astra repositories`: register the repositories that runs may read."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from aucert.astra.v1 import repository_service_pb2 as pb
from services.cli.client import operator_clients
from services.cli.configuration import environment
from services.cli.reporting import say
from services.cli.show import as_json as message_json
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR

app = group("Register the repositories that runs may read.")


@command(app, "add")
async def add_repository(
    slug: str,
    clone_url: str,
    container: Annotated[list[str] | None, typer.Option(help='As in "github:acme/shop".')] = None,
    state: StateOption = DEFAULT_STATE_DIR,
) -> None:
    """Register a repository, or change the one with this slug; its containers may start runs."""
    async with operator_clients(state, environment()) as clients:
        await clients.repositories.RegisterRepository(
            pb.RegisterRepositoryRequest(slug=slug, clone_url=clone_url, source_containers=container or [])
        )
    say(f"registered {slug}")


@command(app, "list")
async def list_repositories(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List the registered repositories."""
    async with operator_clients(state, environment()) as clients:
        request = pb.ListRepositoriesRequest(page_size=200)
        listed = (await clients.repositories.ListRepositories(request)).repositories
    if as_json:
        print(json.dumps([message_json(each) for each in listed]))
    else:
        for each in listed:
            print(f"{each.slug}  {each.clone_url}  {' '.join(each.source_containers)}")
