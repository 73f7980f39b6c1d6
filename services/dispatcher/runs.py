"""Puts on Astra's record what an event asks for: a run for each model, a stop, or more money for a run.

Used by the relay right after an event is written and by ClaimNextEvent, so an event whose process died
in between gets its runs when it is claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.astra.v1.budget_service_pb2 import RaiseCapsRequest
from aucert.astra.v1.task_run_service_pb2 import CreateTaskRunRequest, RequestStopRequest
from services.dispatcher import convert
from services.dispatcher.domain import EventKind, ModelChoice, ThreadEvent, task_run_id
from services.dispatcher.raising import identity
from services.dispatcher.thread_store import ThreadStore

if TYPE_CHECKING:
    from aucert.astra.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub


class Runs:
    """Idempotent: a run's id follows from its event and model."""

    def __init__(
        self, task_runs: TaskRunServiceAsyncStub, budgets: BudgetServiceAsyncStub, threads: ThreadStore
    ) -> None:
        self._task_runs = task_runs
        self._budgets = budgets
        self._threads = threads

    async def ensure(self, event: ThreadEvent) -> None:
        """Make sure the event's runs, stop or raise are on record. The caller acts for the event's tenant."""
        if event.dispatched:
            return
        if event.kind is EventKind.STOP:
            await self._task_runs.RequestStop(
                RequestStopRequest(
                    thread_id=event.thread_id,
                    before_thread_seq=event.seq,
                    task_run_id=event.stop_task_run_id or "",
                    requester=event.requester,
                )
            )
        elif event.kind is EventKind.RAISE:
            await self._raise(event)
        else:
            for model in event.models:
                await self._task_runs.CreateTaskRun(_request(event, model))
        await self._threads.mark_dispatched(event)

    async def _raise(self, event: ThreadEvent) -> None:
        """Have the caps of the thread's waiting runs raised, if the author is known as an operator."""
        who = identity(event.source, event.author_id, event.address)
        if who and event.raise_usd_micros:
            await self._budgets.RaiseCaps(
                RaiseCapsRequest(
                    thread_id=event.thread_id,
                    before_thread_seq=event.seq,
                    add_usd_micros=event.raise_usd_micros,
                    identity=who,
                )
            )


def _request(event: ThreadEvent, model: ModelChoice) -> CreateTaskRunRequest:
    return CreateTaskRunRequest(
        task_run_id=task_run_id(event.id, model.alias),
        agent_slug=event.agent_slug,
        thread_id=event.thread_id,
        thread_event_id=event.id,
        thread_seq=event.seq,
        workflow_id=event.workflow_id,
        source=convert.source_to_proto(event.source),
        address=convert.address_to_proto(event.address),
        operation=event.operation,
        model_alias=model.alias,
        model_label=model.label,
        message=event.description,
        requester=event.requester,
        requester_trusted=event.requester_trusted,
        source_url=event.source_url,
        repository_id=event.repository_id,
    )
