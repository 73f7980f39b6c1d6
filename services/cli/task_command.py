"""`astra task`: ask the agent for something from here."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from aucert.dispatcher.v1.dispatcher_service_pb2 import CreateTaskRequest
from services.cli.client import operator_clients
from services.cli.configuration import environment
from services.cli.run_commands import follow, run_of
from services.cli.show import as_json as message_json
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR

app = group()


@command(app, "task")
async def task(
    message: Annotated[str, typer.Argument(help="What to do, in words.")],
    repository: Annotated[str, typer.Option(help="Slug of a registered repository.")] = "",
    model: Annotated[str, typer.Option(help="Alias of the model.")] = "",
    request_id: Annotated[str, typer.Option(help="Your key for this intent, making retries safe.")] = "",
    wait: Annotated[bool, typer.Option(help="Follow the run and print its answer.")] = True,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> bool:
    """Ask the agent for something and print the answer."""
    async with operator_clients(state, environment()) as clients:
        created = await clients.dispatcher.CreateTask(
            CreateTaskRequest(message=message, repository=repository, model=model, request_id=request_id)
        )
        if not wait:
            print(json.dumps(message_json(created)) if as_json else created.task_run_id)
            return True
        await follow(clients, created.task_run_id)
        run = message_json(await run_of(clients, created.task_run_id))
    print(json.dumps(run) if as_json else run["output_text"])
    return run.get("outcome") == "TASK_RUN_OUTCOME_SUCCESS"
