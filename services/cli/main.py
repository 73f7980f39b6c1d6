"""`astra`: run the platform, ask it for work, look at what it did.

Progress goes to stderr, results to stdout. Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import grpc
import typer
from pydantic import ValidationError

from aucert.astra.v1.budget_pb2 import CapKind
from aucert.astra.v1.budget_service_pb2 import SetCapRequest
from services.cli import budget, commands, comparison, tool_commands, watch_commands
from services.cli.configuration import ConfigurationMissing, environment
from services.cli.doctor import FAILING
from services.cli.embedded import EmbeddedError
from services.cli.smoke import SOURCES
from services.cli.smoke_source import DEFAULT_PROMPT, Job, SmokeFailed
from services.cli.state import DEFAULT_STATE_DIR, NoStack, StackRunning
from services.common.errors import RoleTooPowerful, ServiceError, from_rpc
from services.common.logs import configure_logs
from services.common.server import PortTaken
from services.models.catalogue_file import CatalogueError

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
runs = typer.Typer(help="Look at runs, follow them, stop them.", no_args_is_help=True)
repositories = typer.Typer(help="Register the repositories that runs may read.", no_args_is_help=True)
budgets = typer.Typer(help="Cap what may be spent, see what was.", no_args_is_help=True)
watches = typer.Typer(help="See to the channels by which Google tells of changes.", no_args_is_help=True)
tools = typer.Typer(help="See what the agent can call, and call it yourself.", no_args_is_help=True)
app.add_typer(runs, name="runs")
app.add_typer(tools, name="tools")
app.add_typer(watches, name="watches")
app.add_typer(budgets, name="budget")
app.add_typer(repositories, name="repositories")

StateOption = Annotated[
    Path, typer.Option("--state", help="Directory of the local stack.", envvar="ASTRA_STATE")
]
TOLD_TO_PEOPLE = (
    CatalogueError,
    ConfigurationMissing,
    EmbeddedError,
    NoStack,
    PortTaken,
    RoleTooPowerful,
    ServiceError,
    SmokeFailed,
    StackRunning,
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def up(
    state: StateOption = DEFAULT_STATE_DIR,
    free_ports: Annotated[bool, typer.Option(help="Take free ports instead of the usual ones.")] = False,
    worker: Annotated[bool, typer.Option(help="Run the worker too; without it runs wait.")] = True,
    repo: Annotated[str, typer.Option(help="Repository to try it on: path or URL.")] = ".",
) -> None:
    """Run everything in this process: embedded PostgreSQL and Temporal, all services, the GitHub stand-in.

    What the environment or .env names is used instead: DATABASE_URL, TEMPORAL_ADDRESS, GITHUB_*.
    """
    _run(commands.up(state, environment(), free_ports=free_ports, with_worker=worker, repository=repo))


@app.command()
def serve(
    service: Annotated[str, typer.Argument(help=" | ".join(commands.SERVICES))],
) -> None:
    """Run one service in this process, configured by the environment: what the chart runs."""
    if service not in commands.SERVICES:
        raise typer.BadParameter(f"choose one of {', '.join(commands.SERVICES)}")
    _report(lambda: commands.serve(service))


@app.command()
def smoke(
    prompt: Annotated[str, typer.Option(help="What to ask.")] = DEFAULT_PROMPT,
    source: Annotated[str, typer.Option(help=" | ".join(SOURCES))] = "github",
    model: Annotated[str, typer.Option(help="Alias of the model. Empty: the default one.")] = "",
    repo: Annotated[str, typer.Option(help="Repository to read: path or URL.")] = ".",
    state: StateOption = DEFAULT_STATE_DIR,
) -> None:
    """Do the main job once and print what came of it as one JSON object, the last line of stdout."""
    job = Job(prompt=prompt or DEFAULT_PROMPT, source=source or "github", model=model, repository=repo or ".")
    result = _run(commands.smoke(state, environment(), job))
    print(json.dumps(result, ensure_ascii=False))
    raise typer.Exit(0 if result["outcome"] == "success" else 1)


@app.command()
def doctor(
    source: Annotated[str, typer.Option(help="github: ask GitHub itself whether the App is set up.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Say what is running, what is configured and what is missing. Exits 1 when something needed is."""
    if source not in ("", "github"):
        raise typer.BadParameter("choose github, or leave it out")
    findings = _run(commands.doctor(state, environment(), source))
    if as_json:
        print(json.dumps([asdict(each) for each in findings]))
    else:
        print(*findings, sep="\n")
    raise typer.Exit(1 if any(each.verdict in FAILING for each in findings) else 0)


@app.command()
def migrate() -> None:
    """Bring the database up to date: schema, roles and the first rows. Reads OWNER_DATABASE_URL."""
    _report(lambda: commands.migrate_from_environment(environment()))


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="Query to run. Empty: open psql.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
) -> None:
    """Query the record as the operator role, which reads everything and writes nothing."""
    _report(lambda: commands.sql(state, environment(), query))


@app.command()
def task(
    message: Annotated[str, typer.Argument(help="What to do, in words.")],
    repository: Annotated[str, typer.Option(help="Slug of a registered repository.")] = "",
    model: Annotated[str, typer.Option(help="Alias of the model.")] = "",
    request_id: Annotated[str, typer.Option(help="Your key for this intent, making retries safe.")] = "",
    wait: Annotated[bool, typer.Option(help="Follow the run and print its answer.")] = True,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Ask the agent for something and print the answer."""
    run = _run(commands.task(state, environment(), message, repository, model, request_id, wait=wait))
    print(json.dumps(run) if as_json else run["output_text"] if wait else run["task_run_id"])
    raise typer.Exit(1 if wait and run.get("outcome") != "TASK_RUN_OUTCOME_SUCCESS" else 0)


@runs.command("list")
def list_runs(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20,
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """List the newest runs."""
    _run(commands.list_runs(state, environment(), limit, as_json=as_json))


@runs.command("show")
def show_run(task_run_id: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """Show one run, its events and its answer."""
    _run(commands.show_run(state, environment(), task_run_id, as_json=as_json))


@runs.command("watch")
def watch_run(task_run_id: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """Follow a run until it is over."""
    _run(commands.watch_run(state, environment(), task_run_id, as_json=as_json))


@runs.command("compare")
def compare_runs(
    run_or_event_id: Annotated[str, typer.Argument(help="A run, or the event it answers.")],
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Compare time, tokens and cost of the models one comment asked for."""
    _run(comparison.compare(state, environment(), run_or_event_id, as_json=as_json))


@runs.command("cancel")
def cancel_run(task_run_id: str, state: StateOption = DEFAULT_STATE_DIR) -> None:
    """Stop a run."""
    _run(commands.cancel_run(state, environment(), task_run_id))


@budgets.command("set")
def set_cap(
    kind: Annotated[str, typer.Argument(help=" | ".join(budget.KINDS))],
    amount: Annotated[str, typer.Argument(help="US dollars, as in 2.50. 0: no limit.")],
    agent: Annotated[str, typer.Option(help="For this agent only.")] = "",
    run: Annotated[str, typer.Option(help="For this run only; with kind run.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Set a cap on spending; runs that waited for it go on at once."""
    if kind not in budget.KINDS:
        raise typer.BadParameter(f"choose one of {', '.join(budget.KINDS)}")
    try:
        limit = budget.micros(amount)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    request = SetCapRequest(
        kind=CapKind.Value(f"CAP_KIND_{kind.upper().replace('-', '_')}"),
        agent_slug=agent,
        task_run_id=run,
        limit_usd_micros=limit,
    )
    _run(budget.set_cap(state, environment(), request, as_json=as_json))


@budgets.command("show")
def show_caps(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """Show the caps and what is spent of them."""
    _run(budget.show_caps(state, environment(), as_json=as_json))


@budgets.command("report")
def report_usage(
    first: Annotated[str, typer.Option("--from", help="First day, UTC. Empty: the first of the month.")] = "",
    last: Annotated[str, typer.Option("--to", help="Last day, UTC. Empty: today.")] = "",
    by: Annotated[str, typer.Option(help="What to tell apart, with commas.")] = ",".join(budget.DIMENSIONS),
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Sum up calls, tokens and cost by day, agent and model."""
    wanted = [each for each in by.split(",") if each]
    if not set(wanted) <= set(budget.DIMENSIONS):
        raise typer.BadParameter(f"choose among {', '.join(budget.DIMENSIONS)}")
    _run(budget.report(state, environment(), first_day=first, last_day=last, by=wanted, as_json=as_json))


@repositories.command("add")
def add_repository(
    slug: str,
    clone_url: str,
    container: Annotated[list[str] | None, typer.Option(help='As in "github:acme/shop".')] = None,
    state: StateOption = DEFAULT_STATE_DIR,
) -> None:
    """Register a repository, or change the one with this slug; its containers may start runs."""
    _run(commands.add_repository(state, environment(), slug, clone_url, container or []))


@repositories.command("list")
def list_repositories(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List the registered repositories."""
    _run(commands.list_repositories(state, environment(), as_json=as_json))


@watches.command("list")
def list_watches(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List the watches, those that end first before the others."""
    _run(watch_commands.list_watches(state, environment(), as_json=as_json))


@watches.command("register")
def register_watch(
    file_id: Annotated[str, typer.Argument(help="File or folder. Empty: all that changes.")] = "",
    drive: Annotated[str, typer.Option(help="Shared drive, where all that changes is meant.")] = "",
    agent: Annotated[str, typer.Option(help="Slug of the agent it is for.")] = "",
    public_base_url: Annotated[str, typer.Option(help="Where Google reaches the gateway.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Have Google tell of changes; comments are found without it too, only later."""
    _run(
        watch_commands.register(state, environment(), file_id, drive, agent, public_base_url, as_json=as_json)
    )


@watches.command("renew")
def renew_watch(channel_id: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """Replace a watch by a new one now."""
    _run(watch_commands.renew(state, environment(), channel_id, as_json=as_json))


@watches.command("stop")
def stop_watch(channel_id: str, state: StateOption = DEFAULT_STATE_DIR) -> None:
    """Close a watch."""
    _run(watch_commands.stop(state, environment(), channel_id))


@tools.command("list")
def list_tools(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """List the tools, and what is missing for those that are absent."""
    _run(tool_commands.list_tools(state, environment(), as_json=as_json))


@tools.command("show")
def show_tool(name: str, state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """Show a tool as a model reads it, and what it promises."""
    _run(tool_commands.show_tool(state, environment(), name, as_json=as_json))


@tools.command("call")
def call_tool(
    name: str,
    arguments: Annotated[str, typer.Argument(help="A JSON object by the tool's schema.")] = "{}",
    request_id: Annotated[str, typer.Option(help="Your key for this change, making retries safe.")] = "",
    state: StateOption = DEFAULT_STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Call a tool outside of any run, and print what a model would read; repo tools need a run."""
    call = tool_commands.call_tool(state, environment(), name, arguments, request_id, as_json=as_json)
    raise typer.Exit(0 if _run(call) else 1)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run an asynchronous command."""
    import uvloop  # noqa: PLC0415 - `astra --help` need not load it

    return _report(lambda: uvloop.run(work))


def _report(work: Callable[[], Any]) -> Any:
    """Do the work; what a person can act on becomes one line on stderr and exit code 1."""
    try:
        return work()
    except BaseExceptionGroup as group:
        error = _first(group)
    except Exception as alone:  # noqa: BLE001 - sorted below; the unforeseen is raised again
        error = alone
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise typer.Exit(128 + signal.SIGINT) from None
    if isinstance(error, ValidationError):
        _fail("; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors(include_input=False)))
    if isinstance(error, grpc.aio.AioRpcError):
        _fail(from_rpc(error).message)
    if isinstance(error, TimeoutError):
        _fail("It took too long. `astra runs list` shows where it stands.")
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        _fail(f"{error.strerror}. Stop the other program, or use --free-ports.")
    if isinstance(error, TOLD_TO_PEOPLE):
        _fail(str(error))
    raise error


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group that is not a group itself."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _fail(message: str) -> NoReturn:
    print(f"astra: {message}", file=sys.stderr)
    raise typer.Exit(1)


def main() -> None:
    """Entry point of the `astra` command."""
    configure_logs(level=os.environ.get("LOG_LEVEL", "WARNING"), stream=sys.stderr)
    app()


if __name__ == "__main__":
    main()
