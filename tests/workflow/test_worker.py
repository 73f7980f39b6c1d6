"""The whole worker on a real Temporal server, with the other services in memory."""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.testing import WorkflowEnvironment

from aucert.astra.v1 import task_run_pb2 as task_run
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message
from aucert.tools.v1.tool_service_pb2 import CallToolResponse
from services.common.errors import Unavailable
from services.common.server import RunningServer
from services.common.thread_input import RING_SIGNAL, TASK_QUEUE, WORKFLOW_TYPE, ThreadInput
from services.worker import activities, main
from services.worker.settings import WorkerSettings
from tests.workflow.fakes import TENANT, Services, calling, said

HISTORY_BYTES_MAX = 300_000
CONTENT = "what the customer wrote"


def worker(services: Services, temporal_address: str) -> AbstractAsyncContextManager[RunningServer]:
    """A worker process, as `astra serve worker` runs it, with short heartbeats."""
    environment = {
        "ASTRA_TOKEN": "worker",
        "ASTRA_ADDRESS": services.address,
        "DISPATCHER_ADDRESS": services.address,
        "MODELS_ADDRESS": services.address,
        "TOOLS_ADDRESS": services.address,
        "TEMPORAL_ADDRESS": temporal_address,
        "WORKER_HEALTH_PORT": "0",
        "WORKER_HEARTBEAT_SECONDS": "2",
    }
    return main.running(WorkerSettings(_env_file=None, **environment))  # pyright: ignore[reportCallIssue]


@pytest.fixture
def temporal_address(temporal: WorkflowEnvironment) -> str:
    return temporal.client.service_client.config.target_host


async def ring(temporal: WorkflowEnvironment, thread_id: str) -> WorkflowHandle[Any, None]:
    return await temporal.client.start_workflow(
        WORKFLOW_TYPE,
        ThreadInput(TENANT, thread_id),
        id=f"worker/{thread_id}",
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        start_signal=RING_SIGNAL,
    )


async def test_a_hundred_tool_calls_leave_a_small_history_without_content(
    temporal: WorkflowEnvironment, temporal_address: str, services: Services
) -> None:
    def script(messages: list[Message]) -> Message:
        again = len(messages) < 2 * 100
        return (
            calling("repo_read_file", arguments=f'{{"path":"{CONTENT}"}}')
            if again
            else said(ROLE_ASSISTANT, CONTENT)
        )

    services.models.script = script
    services.tools.reply = lambda _: CallToolResponse(text=CONTENT * 300)
    services.faults.before["CommitTurn"] = lambda calls: Unavailable(CONTENT) if calls == 50 else None
    run_id = services.astra.add_run()
    thread_id = str(uuid.uuid4())
    services.dispatcher.add_event(thread_id, run_id)

    async with worker(services, temporal_address) as server:
        assert server.missing == []
        handle = await ring(temporal, thread_id)
        await handle.result()

    history = (await handle.fetch_history()).to_json()
    assert len(services.tools.origins) == 100
    assert services.astra.records[run_id].run.outcome == task_run.TASK_RUN_OUTCOME_SUCCESS
    assert len(history) < HISTORY_BYTES_MAX
    assert CONTENT not in history
    assert services.dispatcher.events[thread_id] == []


async def test_a_worker_that_leaves_hands_its_run_to_the_next_and_nothing_is_paid_twice(
    temporal: WorkflowEnvironment,
    temporal_address: str,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Callable[[], bool]] = []
    leaving_of = activities._leaving

    def leaving_overheard() -> Callable[[], bool]:
        leaves, context = leaving_of(), contextvars.copy_context()
        asked.append(lambda: context.run(leaves))
        return leaves

    monkeypatch.setattr(activities, "_leaving", leaving_overheard)
    services.models.hang.clear()
    services.models.script = lambda messages: (
        calling("repo_read_file") if len(messages) == 1 else said(ROLE_ASSISTANT, "Done.")
    )
    run_id = services.astra.add_run()
    thread_id = str(uuid.uuid4())
    services.dispatcher.add_event(thread_id, run_id)

    first = worker(services, temporal_address)
    await first.__aenter__()
    handle = await ring(temporal, thread_id)
    await services.models.generating.wait()
    leaving = asyncio.create_task(first.__aexit__(None, None, None))
    while not any(leaves() for leaves in asked):
        await asyncio.sleep(0.01)
    services.models.hang.set()
    await leaving

    record = services.astra.records[run_id]
    assert record.run.status == task_run.TASK_RUN_STATUS_IN_PROGRESS
    async with worker(services, temporal_address):
        await handle.result()
    assert record.run.outcome == task_run.TASK_RUN_OUTCOME_SUCCESS
    assert list(record.reservations.values()) == ["settled", "settled"]
    assert services.faults.calls["Generate"] == 2


async def test_two_models_answer_one_event_each_once(
    temporal: WorkflowEnvironment, temporal_address: str, services: Services
) -> None:
    run_ids = [services.astra.add_run(), services.astra.add_run()]
    thread_id = str(uuid.uuid4())
    services.dispatcher.add_event(thread_id, *run_ids)

    async with worker(services, temporal_address):
        await (await ring(temporal, thread_id)).result()

    assert sorted(services.tools.posts) == sorted((run_id, "answer") for run_id in run_ids)


async def test_without_temporal_the_worker_says_what_is_missing(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "START_PATIENCE_SECONDS", 0.2)

    async with worker(services, "127.0.0.1:1") as server:
        assert server.missing == ["temporal"]
