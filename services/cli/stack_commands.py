"""`astra up`, `serve` and `smoke`: what starts services."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from services.cli.client import operator_clients
from services.cli.configuration import environment
from services.cli.local_model import served_if_asked
from services.cli.reporting import report, say
from services.cli.smoke import SOURCES, invitations, register_repository, run_smoke
from services.cli.smoke_source import DEFAULT_PROMPT, Job, SmokeFailed
from services.cli.spelling import StateOption, command, group
from services.cli.state import DEFAULT_STATE_DIR, RunningStack, StackRunning, StateDirectory
from services.common.process import stop_signal

SERVICES = ("astra", "dispatcher", "models", "tools", "worker", "gateway")
app = group()


@command(app, "up")
async def up(
    state: StateOption = DEFAULT_STATE_DIR,
    free_ports: Annotated[bool, typer.Option(help="Take free ports instead of the usual ones.")] = False,
    worker: Annotated[bool, typer.Option(help="Run the worker too; without it runs wait.")] = True,
    repo: Annotated[str, typer.Option(help="Repository to try it on: path or URL.")] = ".",
) -> None:
    """Run everything in this process: embedded PostgreSQL and Temporal, all services, the vendors' stand-ins.

    The environment or .env may name others: DATABASE_URL, TEMPORAL_ADDRESS, a source's credentials.
    """
    from services.cli.stack import Ports, running_stack  # noqa: PLC0415 - loads every service

    stop = stop_signal()
    ports = Ports.free() if free_ports else Ports()
    directory = StateDirectory(state)
    async with running_stack(directory, ports, environment(), with_worker=worker) as stack:
        say(f"Astra is ready after {stack.ready_seconds} s. Ctrl-C stops it.")
        for name, where in _places(stack, state):
            say(f"  {name:<12} {where}")
        if stack.sandbox_url:
            await _invite(stack, state, repo)
        await stop.wait()
        say("stopping")


@app.command()
def serve(
    service: Annotated[str, typer.Argument(help=" | ".join(SERVICES))],
) -> None:
    """Run one service in this process, configured by the environment: what the chart runs."""
    if service not in SERVICES:
        raise typer.BadParameter(f"choose one of {', '.join(SERVICES)}")
    package = "gateway" if service == "gateway" else f"services.{service}"
    report(lambda: importlib.import_module(f"{package}.main").main())


@command(app, "smoke")
async def smoke(
    prompt: Annotated[str, typer.Option(help="What to ask.")] = DEFAULT_PROMPT,
    source: Annotated[str, typer.Option(help=" | ".join(SOURCES))] = "github",
    model: Annotated[str, typer.Option(help="Alias of the model. Empty: the default one.")] = "",
    repo: Annotated[str, typer.Option(help="Repository to read: path or URL.")] = ".",
    state: StateOption = DEFAULT_STATE_DIR,
) -> bool:
    """Do the main job once and print what came of it as one JSON object, the last line of stdout."""
    job = Job(prompt=prompt or DEFAULT_PROMPT, source=source or "github", model=model, repository=repo or ".")
    async with (
        served_if_asked(model, environment(), StateDirectory(state).logs / "local_model.log") as configured,
        _some_stack(state, configured) as stack,
        operator_clients(state, {}) as clients,
    ):
        result = await run_smoke(stack, clients, job)
    print(json.dumps(result, ensure_ascii=False))
    return result["outcome"] == "success"


async def _invite(stack: RunningStack, state_dir: Path, repository: str) -> None:
    """Give a person something to comment on."""
    try:
        async with operator_clients(state_dir, {}) as clients:
            slug = await register_repository(clients, repository)
    except SmokeFailed as none:
        say(f"No repository to try it on: {none}")
        return
    for each in await invitations(stack, slug):
        say(each)


def _places(stack: RunningStack, state_dir: Path) -> list[tuple[str, str]]:
    return [
        ("console", f"{stack.gateway_url}/  (sign in with the api_key in {state_dir / 'stack.json'})"),
        ("gateway", stack.gateway_url),
        ("astra", stack.astra_address),
        ("dispatcher", stack.dispatcher_address),
        ("models", stack.models_address),
        ("tools", stack.tools_address),
        ("temporal", f"{stack.temporal_address}  {stack.temporal_ui_url}".rstrip()),
        ("sandbox", f"{stack.sandbox_url}/  (write a comment here)" if stack.sandbox_url else "off"),
    ]


@asynccontextmanager
async def _some_stack(state_dir: Path, environment: Mapping[str, str]) -> AsyncIterator[RunningStack]:
    from services.cli.stack import Ports, running_stack  # noqa: PLC0415 - loads every service

    state = StateDirectory(state_dir)
    async with contextlib.AsyncExitStack() as exits:
        try:
            stack = await exits.enter_async_context(running_stack(state, Ports.free(), environment))
            say(f"the stack is ready after {stack.ready_seconds} s")
        except StackRunning as running:
            if running.stack is None:
                raise
            stack = running.stack
            say(f"using the stack that runs on {state.path}")
        yield stack
