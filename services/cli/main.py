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

from services.cli import commands
from services.cli.configuration import ConfigurationMissing, environment
from services.cli.doctor import examine
from services.cli.embedded import EmbeddedError
from services.cli.smoke import DEFAULT_PROMPT, Job, SmokeFailed
from services.cli.state import DEFAULT_STATE_DIR, NoStack, StackRunning, StateDirectory
from services.common.database import RoleTooPowerful
from services.common.errors import ServiceError, from_rpc
from services.common.logs import configure_logs
from services.common.server import PortTaken

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
runs = typer.Typer(help="Look at runs, follow them, stop them.", no_args_is_help=True)
repositories = typer.Typer(help="Register the repositories that runs may read.", no_args_is_help=True)
app.add_typer(runs, name="runs")
app.add_typer(repositories, name="repositories")

StateOption = Annotated[
    Path, typer.Option("--state", help="Directory of the local stack.", envvar="ASTRA_STATE")
]
TOLD_TO_PEOPLE = (
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
    source: Annotated[str, typer.Option(help="github or manual.")] = "github",
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
def doctor(state: StateOption = DEFAULT_STATE_DIR, as_json: JsonOption = False) -> None:
    """Say what is running, what is configured and what is missing. Exits 1 when something needed is."""
    findings = _run(examine(StateDirectory(state), environment()))
    if as_json:
        print(json.dumps([asdict(each) for each in findings]))
    else:
        for each in findings:
            print(f"{each.verdict:<8} {each.subject:<12} {each.detail}")
    raise typer.Exit(1 if any(each.verdict == "missing" for each in findings) else 0)


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


@runs.command("cancel")
def cancel_run(task_run_id: str, state: StateOption = DEFAULT_STATE_DIR) -> None:
    """Stop a run."""
    _run(commands.cancel_run(state, environment(), task_run_id))


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
