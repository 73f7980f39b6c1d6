"""What people wait for around a run: from webhook to the workflow's first task, from answer to its post.

Measured on the stack of `astra up`, one comment on a new pull request of the stand-in at a time, with a model
that answers at once. The times are read afterwards from the record and from Temporal's history, so nothing is
added to measure them. Beside it Temporal is asked, each time, to start a workflow that does nothing.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from aucert.astra.v1.task_run_pb2 import TASK_RUN_OUTCOME_SUCCESS
from aucert.astra.v1.task_run_service_pb2 import GetTaskRunRequest, WatchTaskRunRequest
from scripts.loop_bench.processes import WrongResult
from services.cli.client import Clients, operator_clients
from services.cli.smoke import register_repository
from services.cli.smoke_github import GitHubSmoke
from services.cli.smoke_source import Job
from services.cli.stack import Ports, running_stack
from services.cli.state import RunningStack, StateDirectory

WARM_UP_COMMENTS = 2
COMMENTS = 15
QUEUE = "bench"
_TIMES = """
SELECT d.received_time,
       (SELECT max(created_time) FROM task_events t WHERE t.task_run_id = r.id AND t.event_type = 'turn'),
       p.posted_time
FROM task_runs r
JOIN thread_events e ON e.id = r.thread_event_id
JOIN webhook_deliveries d ON d.id = e.delivery_id
JOIN thread_posts p ON p.task_run_id = r.id AND p.kind = 'answer'
WHERE r.id = %s::uuid
"""


@dataclass(frozen=True, slots=True)
class Waits:
    """One comment, in milliseconds.

    `webhook_to_task`: from the moment the gateway had read the webhook, its commit included, until a worker
    got the workflow's first task. `start_to_task`: the same from the call that starts an empty workflow.
    `answer_to_post`: from the record of the answer to the record of its post, the stand-in's time included.
    """

    webhook_to_task: float
    start_to_task: float
    answer_to_post: float


@workflow.defn
class Nothing:
    """A workflow that does nothing."""

    @workflow.run
    async def run(self) -> None:
        """Return."""


async def measure(folder: Path) -> Sequence[Waits]:
    """Comment COMMENTS times after a warm-up. Raises WrongResult when a comment is not answered."""
    async with _Stage.open(folder) as stage:
        waits = [await stage.comment() for _ in range(WARM_UP_COMMENTS + COMMENTS)]
    return waits[WARM_UP_COMMENTS:]


@dataclass(frozen=True, slots=True)
class _Stage:
    stack: RunningStack
    clients: Clients
    temporal: Client
    slug: str

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path) -> AsyncIterator[_Stage]:
        script = folder / "script.json"
        script.write_text(json.dumps({"": [{"text": "Done."}]}))
        state = StateDirectory(folder / "stack")
        environment = {"DEFAULT_MODEL": "scripted", "MODELS_SCRIPT": str(script)}
        async with (
            running_stack(state, Ports.free(), environment) as stack,
            operator_clients(state.path, {}) as clients,
        ):
            temporal = await Client.connect(stack.temporal_address)
            runner = UnsandboxedWorkflowRunner()
            async with Worker(temporal, task_queue=QUEUE, workflows=[Nothing], workflow_runner=runner):
                yield cls(stack, clients, temporal, await register_repository(clients, "."))

    async def comment(self) -> Waits:
        """Ask once, wait for the answer, look its times up."""
        task_run_id = await GitHubSmoke().ask(self.stack, self.clients, Job(), self.slug)
        async for _ in self.clients.runs.WatchTaskRun(WatchTaskRunRequest(task_run_id=task_run_id)):
            pass
        run = (await self.clients.runs.GetTaskRun(GetTaskRunRequest(task_run_id=task_run_id))).task_run
        if run.outcome != TASK_RUN_OUTCOME_SUCCESS:
            raise WrongResult(f"a comment was not answered: {run.outcome_reason}")
        received, answered, posted = await self._times(task_run_id)
        return Waits(
            webhook_to_task=(await self._first_task(run.workflow_id) - received.timestamp()) * 1000,
            start_to_task=await self._start_nothing(),
            answer_to_post=(posted - answered).total_seconds() * 1000,
        )

    async def _times(self, task_run_id: str) -> tuple[datetime, datetime, datetime]:
        url = self.stack.operator_database_url
        async with await psycopg.AsyncConnection.connect(url) as connection:
            rows = await (await connection.execute(_TIMES, [task_run_id])).fetchall()
        if len(rows) != 1 or None in rows[0]:
            raise WrongResult(f"an answer is on record as posted {len(rows)} times: {rows}")
        return rows[0]

    async def _start_nothing(self) -> float:
        began, workflow_id = time.time(), f"bench/{uuid.uuid4()}"
        handle = await self.temporal.start_workflow(Nothing.run, id=workflow_id, task_queue=QUEUE)
        await handle.result()
        return (await self._first_task(workflow_id) - began) * 1000

    async def _first_task(self, workflow_id: str) -> float:
        """When a worker got the workflow's first task, in seconds since the epoch."""
        history = await self.temporal.get_workflow_handle(workflow_id).fetch_history()
        for event in history.events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                return event.event_time.ToNanoseconds() / 1e9
        raise WrongResult(f"{workflow_id} never had a task")
