"""Measure what people wait for: start, a comment's answer, a turn, a stop, and the history a long run leaves.

Prints figure, aim and machine, and the same as JSON on the last line. Exits 1 only when a result is lost or
wrong; a missed aim is printed, not punished. Everything runs on this machine, with the scripted model.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
import uvloop
from temporalio.client import Client

from aucert.astra.v1 import task_run_service_pb2
from aucert.astra.v1.task_run_pb2 import TASK_RUN_OUTCOME_CANCELLED, TASK_RUN_OUTCOME_SUCCESS, TaskRun
from aucert.dispatcher.v1 import dispatcher_service_pb2
from scripts.measured_on import machine, spelled
from services.cli.client import Clients, operator_clients
from services.cli.smoke import Job, register_repository, run_smoke
from services.cli.stack import Ports, running_stack
from services.cli.state import RunningStack, StateDirectory
from services.common.logs import configure_logs

STARTS = 3
SMOKES = 5
STOPS = 5
TURNS = 20
AT_ONCE = 8
LONG_RUN_CALLS = 100
Step = Mapping[str, object]
CALL = {"name": "repo_list_files", "arguments": {}}
READ: Step = {"tool_calls": [CALL]}
READ_FIVE: Step = {"tool_calls": [CALL] * 5}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result."""

    what: str
    value: float
    unit: str
    aim: str


class WrongResult(Exception):
    """A measured job did not do what it should have."""


async def measure() -> list[Figure]:
    """Everything, one after the other."""
    with tempfile.TemporaryDirectory(prefix="astra-bench-") as folder:
        return [*await start_and_smoke(Path(folder)), *await turns_and_stops(Path(folder))]


async def start_and_smoke(folder: Path) -> list[Figure]:
    """Start cold, then warm; answer comments with `rehearsal` on this repository."""
    state = StateDirectory(folder / "rehearsal")
    starts, answers = [], []
    for _ in range(1 + STARTS):
        async with (
            running_stack(state, Ports.free(), {}) as stack,
            operator_clients(state.path, {}) as clients,
        ):
            starts.append(stack.ready_seconds)
            if len(starts) == 1:
                for _ in range(SMOKES):
                    began = time.monotonic()
                    expect(
                        (await run_smoke(stack, clients, Job()))["outcome"] == "success", "a smoke run failed"
                    )
                    answers.append(time.monotonic() - began)
    return [
        Figure("astra up to ready, cold", starts[0], "s", ""),
        Figure("astra up to ready, warm (median)", statistics.median(starts[1:]), "s", "<= 6"),
        Figure("webhook in to answer posted, first", answers[0], "s", "<= 5"),
        Figure("webhook in to answer posted, later (median)", statistics.median(answers[1:]), "s", "<= 5"),
    ]


async def turns_and_stops(folder: Path) -> list[Figure]:
    """Turns with the scripted model, which answers at once; the tool's own time is taken off."""
    state = StateDirectory(folder / "scripted")
    script = folder / "script.json"
    environment = {"DEFAULT_MODEL": "scripted", "MODELS_SCRIPT": str(script)}
    figures: list[Figure] = []
    write(script, [*[READ] * (TURNS - 1), {"text": "Done."}])
    async with (
        running_stack(state, Ports.free(), environment) as stack,
        operator_clients(state.path, {}) as clients,
    ):
        slug = await register_repository(clients, ".")
        await task(clients, slug)  # the mirror is cloned and caches are warm
        alone = [await overhead_ms(stack, await task(clients, slug)) for _ in range(5)]
        began = time.monotonic()
        await asyncio.gather(*(task(clients, slug) for _ in range(AT_ONCE)))
        together = AT_ONCE * TURNS / (time.monotonic() - began)
        figures += [
            Figure("a turn beyond model and tool, one run (median)", statistics.median(alone), "ms", "<= 12"),
            Figure(f"turns at {AT_ONCE} runs, a git process each", together, "turns/s", ">= 100"),
        ]
    write(script, [*[READ_FIVE] * (LONG_RUN_CALLS // 5), {"text": "Done."}])
    async with (
        running_stack(state, Ports.free(), environment) as stack,
        operator_clients(state.path, {}) as clients,
    ):
        run = await task(clients, slug)
        figures.append(
            Figure(f"history of a run of {LONG_RUN_CALLS} calls", await history_kb(stack, run), "KB", "< 300")
        )
    write(script, [{"delay_ms": 60_000, "text": "Too late."}])
    async with (
        running_stack(state, Ports.free(), environment) as stack,
        operator_clients(state.path, {}) as clients,
    ):
        stops = [await stop_seconds(clients, slug) for _ in range(STOPS)]
        figures.append(Figure("stop asked to run ended (worst)", max(stops), "s", "< 2"))
    return figures


async def task(clients: Clients, slug: str) -> TaskRun:
    """Create a task and follow it to a successful end."""
    created = await clients.dispatcher.CreateTask(
        dispatcher_service_pb2.CreateTaskRequest(message="bench", repository=slug)
    )
    run = await ended(clients, created.task_run_id)
    expect(run.outcome == TASK_RUN_OUTCOME_SUCCESS, f"a run ended as {run.outcome_reason}")
    return run


async def ended(clients: Clients, task_run_id: str) -> TaskRun:
    """Follow a run to its end and read it."""
    watching = task_run_service_pb2.WatchTaskRunRequest(task_run_id=task_run_id)
    async for _ in clients.runs.WatchTaskRun(watching):
        pass
    reading = task_run_service_pb2.GetTaskRunRequest(task_run_id=task_run_id)
    return (await clients.runs.GetTaskRun(reading)).task_run


async def overhead_ms(stack: RunningStack, run: TaskRun) -> float:
    """From the first event to the last, less the tools' time, for each turn."""
    query = """
        SELECT extract(epoch FROM max(created_time) - min(created_time)) * 1000
             - coalesce(sum((metadata->>'duration_ms')::int) FILTER (WHERE event_type = 'tool_call'), 0)
          FROM task_events WHERE task_run_id = %s::uuid"""
    async with await psycopg.AsyncConnection.connect(stack.operator_database_url) as connection:
        row = await (await connection.execute(query, [run.task_run_id])).fetchone()
    assert row is not None
    return float(row[0]) / TURNS


async def history_kb(stack: RunningStack, run: TaskRun) -> float:
    """Size of the workflow's history as the server keeps it."""
    client = await Client.connect(stack.temporal_address)
    history = await client.get_workflow_handle(run.workflow_id).fetch_history()
    return sum(event.ByteSize() for event in history.events) / 1024


async def stop_seconds(clients: Clients, slug: str) -> float:
    """Stop a run in the middle of a model call."""
    created = await clients.dispatcher.CreateTask(
        dispatcher_service_pb2.CreateTaskRequest(message="bench", repository=slug)
    )
    watching = task_run_service_pb2.WatchTaskRunRequest(task_run_id=created.task_run_id)
    async for _ in clients.runs.WatchTaskRun(watching):
        break  # it has started
    began = time.monotonic()
    await clients.dispatcher.CancelTask(
        dispatcher_service_pb2.CancelTaskRequest(task_run_id=created.task_run_id)
    )
    run = await ended(clients, created.task_run_id)
    expect(run.outcome == TASK_RUN_OUTCOME_CANCELLED, "a stopped run was not cancelled")
    return time.monotonic() - began


def write(script: Path, steps: Sequence[Step]) -> None:
    """The scripted model reads it at start."""
    script.write_text(json.dumps({"": list(steps)}))


def expect(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Fail the bench on a wrong result."""
    if not holds:
        raise WrongResult(otherwise)


def main() -> None:
    """Print the table, then the JSON."""
    configure_logs(level="ERROR", stream=sys.stderr)
    where = machine()
    try:
        figures = uvloop.run(measure())
    except WrongResult as wrong:
        sys.exit(f"bench: {wrong}")
    print(spelled(where))
    for each in figures:
        print(f"{each.what:<50} {each.value:>9.2f} {each.unit:<8} {f'aim {each.aim}' if each.aim else ''}")
    print(json.dumps({"machine": where, "figures": [asdict(each) for each in figures]}))


if __name__ == "__main__":
    main()
