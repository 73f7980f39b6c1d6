"""What each `astra` command does, apart from how it is spelled (`main.py`) and shown (`show.py`)."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from aucert.astra.v1 import repository_service_pb2, task_run_service_pb2
from aucert.dispatcher.v1 import dispatcher_service_pb2
from services.astra.principals import PRINCIPALS
from services.cli.client import Clients, operator_clients
from services.cli.configuration import operators, token_variable, wanted
from services.cli.doctor import Finding, examine
from services.cli.doctor_tools import examine_tools
from services.cli.embedded import postgres_binary
from services.cli.local_model import served_if_asked
from services.cli.show import as_json as message_json
from services.cli.show import event_line, run_line
from services.cli.smoke import invitations, register_repository, run_smoke
from services.cli.smoke_source import Job, SmokeFailed, say
from services.cli.state import RunningStack, StackRunning, StateDirectory
from services.common.process import stop_signal

PSQL_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
}
SERVICES = ("astra", "dispatcher", "models", "tools", "worker", "gateway")


async def up(
    state_dir: Path,
    environment: Mapping[str, str],
    *,
    free_ports: bool,
    with_worker: bool,
    repository: str,
) -> None:
    """Run the stack until SIGINT or SIGTERM; on the stand-in, make places to comment in."""
    from services.cli.stack import Ports, running_stack  # noqa: PLC0415 - loads every service

    stop = stop_signal()
    ports = Ports.free() if free_ports else Ports()
    state = StateDirectory(state_dir)
    async with running_stack(state, ports, environment, with_worker=with_worker) as stack:
        say(f"Astra is ready after {stack.ready_seconds} s. Ctrl-C stops it.")
        for name, where in _places(stack, state_dir):
            say(f"  {name:<12} {where}")
        if stack.sandbox_url:
            await _invite(stack, state_dir, repository)
        await stop.wait()
        say("stopping")


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


def serve(service: str) -> None:
    """Run one service; its own main reads the environment."""
    package = "gateway" if service == "gateway" else f"services.{service}"
    importlib.import_module(f"{package}.main").main()


async def smoke(state_dir: Path, environment: Mapping[str, str], job: Job) -> dict[str, Any]:
    """Do the main job on the stack that runs here, or on one of its own."""
    log_file = StateDirectory(state_dir).logs / "local_model.log"
    async with (
        served_if_asked(job.model, environment, log_file) as configured,
        _some_stack(state_dir, configured) as stack,
        operator_clients(state_dir, {}) as clients,
    ):
        return await run_smoke(stack, clients, job)


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


async def doctor(state_dir: Path, environment: Mapping[str, str], source: str) -> list[Finding]:
    """Look at this installation, or at one source of webhooks from its vendor's side."""
    if source == "github":
        from services.cli.doctor_github import examine_github  # noqa: PLC0415 - loads the vendor's client

        return await examine_github(state_dir, environment)
    return [*await examine(StateDirectory(state_dir), environment), *await examine_tools(state_dir)]


def migrate_from_environment(environment: Mapping[str, str]) -> None:
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


def sql(state_dir: Path, environment: Mapping[str, str], query: str) -> None:
    """Replace this process by psql as the operator role; the URL goes by environment, not by argument."""
    url = environment.get("OPERATOR_DATABASE_URL")
    url = url or StateDirectory(state_dir).running_stack().operator_database_url
    arguments = ["psql", "--no-psqlrc", *(["--command", query] if query else [])]
    known = conninfo_to_dict(url)
    connection = {variable: str(known[name]) for name, variable in PSQL_VARIABLES.items() if name in known}
    os.execve(postgres_binary("psql"), arguments, {**os.environ, **connection})  # noqa: S606


async def task(
    state_dir: Path,
    environment: Mapping[str, str],
    message: str,
    repository: str,
    model: str,
    request_id: str,
    *,
    wait: bool,
) -> dict[str, Any]:
    """Create a task; with `wait`, follow it and return the finished run, else its ids."""
    async with operator_clients(state_dir, environment) as clients:
        created = await clients.dispatcher.CreateTask(
            dispatcher_service_pb2.CreateTaskRequest(
                message=message, repository=repository, model=model, request_id=request_id
            )
        )
        if not wait:
            return message_json(created)
        await _follow(clients, created.task_run_id)
        return await _run_json(clients, created.task_run_id)


async def list_runs(state_dir: Path, environment: Mapping[str, str], limit: int, *, as_json: bool) -> None:
    """Print the newest runs."""
    async with operator_clients(state_dir, environment) as clients:
        request = task_run_service_pb2.ListTaskRunsRequest(page_size=limit)
        listed = await clients.runs.ListTaskRuns(request)
    if as_json:
        print(json.dumps([message_json(run) for run in listed.task_runs]))
    else:
        for run in listed.task_runs:
            print(run_line(run))


async def show_run(
    state_dir: Path, environment: Mapping[str, str], task_run_id: str, *, as_json: bool
) -> None:
    """Print a run, its events and its answer."""
    async with operator_clients(state_dir, environment) as clients:
        run = (
            await clients.runs.GetTaskRun(task_run_service_pb2.GetTaskRunRequest(task_run_id=task_run_id))
        ).task_run
        request = task_run_service_pb2.ListTaskEventsRequest(task_run_id=task_run_id, page_size=1000)
        events = (await clients.runs.ListTaskEvents(request)).task_events
    if as_json:
        print(json.dumps({"task_run": message_json(run), "events": [message_json(each) for each in events]}))
        return
    print(run_line(run))
    for event in events:
        print(event_line(event))
    if run.output_text:
        print(f"\n{run.output_text}")


async def watch_run(
    state_dir: Path, environment: Mapping[str, str], task_run_id: str, *, as_json: bool
) -> None:
    """Print a run's events as they come, until it is over."""
    async with operator_clients(state_dir, environment) as clients:
        request = task_run_service_pb2.WatchTaskRunRequest(task_run_id=task_run_id)
        async for response in clients.runs.WatchTaskRun(request):
            event = response.task_event
            print(json.dumps(message_json(event)) if as_json else event_line(event), flush=True)


async def cancel_run(state_dir: Path, environment: Mapping[str, str], task_run_id: str) -> None:
    """Ask for a stop and follow the run to its end."""
    async with operator_clients(state_dir, environment) as clients:
        await clients.dispatcher.CancelTask(dispatcher_service_pb2.CancelTaskRequest(task_run_id=task_run_id))
        await _follow(clients, task_run_id)


async def add_repository(
    state_dir: Path, environment: Mapping[str, str], slug: str, clone_url: str, containers: list[str]
) -> None:
    """Register a repository."""
    async with operator_clients(state_dir, environment) as clients:
        request = repository_service_pb2.RegisterRepositoryRequest(
            slug=slug, clone_url=clone_url, source_containers=containers
        )
        await clients.repositories.RegisterRepository(request)
    say(f"registered {slug}")


async def list_repositories(state_dir: Path, environment: Mapping[str, str], *, as_json: bool) -> None:
    """Print the registered repositories."""
    async with operator_clients(state_dir, environment) as clients:
        request = repository_service_pb2.ListRepositoriesRequest(page_size=200)
        listed = (await clients.repositories.ListRepositories(request)).repositories
    if as_json:
        print(json.dumps([message_json(each) for each in listed]))
    else:
        for each in listed:
            print(f"{each.slug}  {each.clone_url}  {' '.join(each.source_containers)}")


async def _follow(clients: Clients, task_run_id: str) -> None:
    request = task_run_service_pb2.WatchTaskRunRequest(task_run_id=task_run_id)
    async for response in clients.runs.WatchTaskRun(request):
        say(event_line(response.task_event))


async def _run_json(clients: Clients, task_run_id: str) -> dict[str, Any]:
    request = task_run_service_pb2.GetTaskRunRequest(task_run_id=task_run_id)
    return message_json((await clients.runs.GetTaskRun(request)).task_run)
