"""`astra mcp`: the tools over the Model Context Protocol, on standard input and output, as an operator."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.client import operator_clients
from services.cli.configuration import environment
from services.cli.reporting import say
from services.cli.spelling import StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR
from services.common import metadata as keys

app = group()


@command(app, "mcp")
async def serve_mcp(
    repository: Annotated[str, typer.Option(help="Slug of the repository that the repo tools read.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
) -> None:
    """Serve the tools to an MCP client that started this command; it ends with its standard input."""
    # The protocol's SDK takes a second to load, which no other command should wait for.
    from mcp.server.stdio import stdio_server  # noqa: PLC0415

    from gateway.mcp.catalogue_server import catalogue_server  # noqa: PLC0415

    named = [(keys.REPOSITORY, repository)] if repository else []
    async with operator_clients(state, environment()) as clients, stdio_server() as (incoming, outgoing):
        server = catalogue_server(clients.tools, lambda _: named)
        say("serving MCP on standard input and output")
        await server.run(incoming, outgoing, server.create_initialization_options())
