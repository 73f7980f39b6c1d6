"""A stage for the thread workflow: a worker with fake activities, a thread's inbox, and a bell."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from services.common.thread_input import RING_SIGNAL, WORKFLOW_TYPE, ThreadInput
from services.worker.steps import (
    CLAIM_NEXT,
    GIVE_UP,
    WORK_ON_RUN,
    Claim,
    Progress,
    RunToEnd,
    RunToWork,
    WorkResult,
)
from services.worker.workflows import SpecAgentWorkflow

SUGGEST_CONTINUE_AS_NEW_EVENTS = 60
"""What the test server is told, so that a thread need not be long to be continued as new."""
Work = Callable[[RunToWork], Awaitable[WorkResult]]


async def over(_run: RunToWork) -> WorkResult:
    """Work that is done at once."""
    return WorkResult(Progress.OVER)


class Stage:
    """Fake activities over inboxes in memory; `work` and `end` are what a test makes of them."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self.inboxes: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
        self.finished: dict[str, list[str]] = defaultdict(list)
        self.worked: list[RunToWork] = []
        self.given_up: list[RunToEnd] = []
        self.work: Work = over
        self.end: Callable[[RunToEnd], Awaitable[None]] | None = None
        self.claiming: Callable[[], Awaitable[Any]] | None = None
        self._client = client
        self._task_queue = task_queue

    @activity.defn(name=CLAIM_NEXT)
    async def claim_next(self, thread: ThreadInput) -> Claim:
        """The next event; a look at the inbox, and then the time the answer takes to arrive."""
        inbox = self.inboxes[thread.thread_id]
        if inbox and inbox[0][0] == thread.finished_event_id:
            self.finished[thread.thread_id].append(inbox.pop(0)[0])
        event, runs = inbox[0] if inbox else ("", [])
        if self.claiming:
            await self.claiming()
        return Claim(event, runs, heartbeat_seconds=2.0)

    @activity.defn(name=WORK_ON_RUN)
    async def work_on_run(self, run: RunToWork) -> WorkResult:
        """What the test makes of it."""
        self.worked.append(run)
        return await self.work(run)

    @activity.defn(name=GIVE_UP)
    async def give_up(self, run: RunToEnd) -> None:
        """Noted, and what the test makes of it."""
        self.given_up.append(run)
        if self.end:
            await self.end(run)

    def add_event(self, thread_id: str, *task_run_ids: str) -> str:
        """Commit an event to a thread's inbox."""
        event = f"e{len(self.inboxes[thread_id]) + len(self.finished[thread_id])}"
        self.inboxes[thread_id].append((event, list(task_run_ids)))
        return event

    async def ring(
        self, thread_id: str, *, task_timeout: timedelta | None = None
    ) -> WorkflowHandle[Any, None]:
        """Start or ring the thread's workflow, as the dispatcher does."""
        return await self._client.start_workflow(
            WORKFLOW_TYPE,
            ThreadInput("tenant", thread_id),
            id=self.workflow_id(thread_id),
            task_queue=self._task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=RING_SIGNAL,
            task_timeout=task_timeout,
        )

    def first_run(self, handle: WorkflowHandle[Any, None]) -> WorkflowHandle[Any, Any]:
        """The run that was started, not the one it was continued as."""
        return self._client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)

    def workflow_id(self, thread_id: str) -> str:
        """The workflow of a thread."""
        return f"test/{self._task_queue}/{thread_id}"

    async def tell(self, thread_id: str, *task_run_ids: str) -> WorkflowHandle[Any, None]:
        """Commit an event, then ring."""
        self.add_event(thread_id, *task_run_ids)
        return await self.ring(thread_id)


@asynccontextmanager
async def staged(client: Client, *, sandboxed: bool = True) -> AsyncIterator[Stage]:
    """A worker on a queue of its own, in Temporal's sandbox to catch what is not deterministic."""
    task_queue = uuid.uuid4().hex
    stage = Stage(client, task_queue)
    worker = Worker(
        client,
        task_queue=task_queue,
        workflows=[SpecAgentWorkflow],
        activities=[stage.claim_next, stage.work_on_run, stage.give_up],
        workflow_runner=SandboxedWorkflowRunner() if sandboxed else UnsandboxedWorkflowRunner(),
    )
    async with worker:
        yield stage


class Meeting:
    """A place where a number of coroutines wait for each other."""

    def __init__(self, size: int) -> None:
        self._missing = size
        self._complete = asyncio.Event()

    async def arrive(self) -> None:
        """Wait until all are there."""
        self._missing -= 1
        if self._missing == 0:
            self._complete.set()
        await self._complete.wait()
