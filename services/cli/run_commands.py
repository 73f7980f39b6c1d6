"""`astra runs`: look at runs, follow them, stop them."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from aucert.astra.v1 import task_run_service_pb2 as pb
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.dispatcher.v1.dispatcher_service_pb2 import CancelTaskRequest
from services.cli import comparison
from services.cli.client import Clients, operator_clients
from services.cli.configuration import environment
from services.cli.live_text import LiveText
from services.cli.reporting import say
from services.cli.show import as_json as message_json
from services.cli.show import event_line, plain, run_line
from services.cli.spelling import JsonOption, StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR

app = group("Look at runs, follow them, stop them.")


@command(app, "list")
async def list_runs(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """List the newest runs."""
    async with operator_clients(state, environment()) as clients:
        listed = await clients.runs.ListTaskRuns(pb.ListTaskRunsRequest(page_size=limit))
    if as_json:
        print(json.dumps([message_json(run) for run in listed.task_runs]))
    else:
        for run in listed.task_runs:
            print(run_line(run))


@command(app, "show")
async def show_run(
    task_run_id: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False
) -> None:
    """Show one run, its events and its answer."""
    async with operator_clients(state, environment()) as clients:
        run = await run_of(clients, task_run_id)
        request = pb.ListTaskEventsRequest(task_run_id=task_run_id, page_size=1000)
        events = (await clients.runs.ListTaskEvents(request)).task_events
    if as_json:
        print(json.dumps({"task_run": message_json(run), "events": [message_json(each) for each in events]}))
        return
    print(run_line(run))
    for event in events:
        print(event_line(event))
    if run.output_text:
        print(f"\n{plain(run.output_text)}")


@command(app, "watch")
async def watch_run(
    task_run_id: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False
) -> None:
    """Follow a run until it is over; its text as it is written, unless JSON is asked for."""
    request, live = pb.WatchTaskRunRequest(task_run_id=task_run_id, with_text=not as_json), LiveText()
    async with operator_clients(state, environment()) as clients:
        async for response in clients.runs.WatchTaskRun(request):
            if response.HasField("text"):
                live.add(response.text)
                continue
            live.end_line()
            event = response.task_event
            print(json.dumps(message_json(event)) if as_json else event_line(event), flush=True)


@command(app, "compare")
async def compare_runs(
    run_or_event_id: Annotated[str, typer.Argument(help="A run, or the event it answers.")],
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Compare time, tokens and cost of the models one comment asked for."""
    await comparison.compare(state, environment(), run_or_event_id, as_json=as_json)


@command(app, "cancel")
async def cancel_run(task_run_id: str, state: StateOption = DEFAULT_STATE_DIR) -> None:
    """Stop a run and follow it to its end."""
    async with operator_clients(state, environment()) as clients:
        await clients.dispatcher.CancelTask(CancelTaskRequest(task_run_id=task_run_id))
        await follow(clients, task_run_id)


async def follow(clients: Clients, task_run_id: str) -> None:
    """Tell a run's events as they come, until it is over."""
    async for response in clients.runs.WatchTaskRun(pb.WatchTaskRunRequest(task_run_id=task_run_id)):
        say(event_line(response.task_event))


async def run_of(clients: Clients, task_run_id: str) -> TaskRun:
    """The run with this id. Raises what Astra answers."""
    return (await clients.runs.GetTaskRun(pb.GetTaskRunRequest(task_run_id=task_run_id))).task_run
