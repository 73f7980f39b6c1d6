"""Requests made through the API: understood, committed to the inbox, handled at once where that is possible.

The ids in the answers are known before anything is handled, so an answer is given as soon as the request
is committed, whatever is away by then.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.task_run_service_pb2 import GetTaskRunRequest
from aucert.dispatcher.v1.dispatcher_service_pb2 import (
    CancelTaskRequest,
    CreateTaskRequest,
    SendMessageRequest,
)
from services.common.caller import Caller, current_caller
from services.common.crashpoints import CrashPoint, reach
from services.common.errors import ServiceError
from services.dispatcher.domain import AGENT_DEFAULT, OPERATION_DEFAULT
from services.dispatcher.errors import RequestIdReused
from services.dispatcher.inbox_store import InboxStore
from services.dispatcher.registry import Registry
from services.dispatcher.relay import Relay
from services.dispatcher.sources import manual
from services.dispatcher.sources.manual import Accepted, Method
from services.dispatcher.tenants import Tenants

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub

RESERVED = timedelta(seconds=2)
"""How long relays leave a request to the call that brought it: its run is there when it is answered."""

log = structlog.get_logger()


class Tasks:
    """Works for the current caller."""

    def __init__(
        self,
        *,
        inbox: InboxStore,
        relay: Relay,
        tenants: Tenants,
        registry: Registry,
        task_runs: TaskRunServiceAsyncStub,
    ) -> None:
        self._inbox = inbox
        self._relay = relay
        self._tenants = tenants
        self._registry = registry
        self._task_runs = task_runs

    async def create(self, request: CreateTaskRequest) -> tuple[str, str]:
        """Accept a task in a thread of its own; returns run id and workflow id.

        Fails with AGENT_NOT_FOUND, REPOSITORY_NOT_FOUND or MODEL_NOT_FOUND before anything is kept, and with
        RequestIdReused.
        """
        caller = current_caller()
        key = manual.external_id(_name(caller), request.request_id)
        slug = await self._tenants.slug_of(caller.tenant_id)
        accepted = await self._understand(request, caller)
        path = manual.workflow_path(manual.run_of(caller.tenant_id, key, accepted))
        held = await self._commit(
            caller, key, accepted, order_key=path, request=request, request_id=request.request_id
        )
        run_id = manual.run_of(caller.tenant_id, key, held)
        return run_id, f"{slug}/{manual.workflow_path(run_id)}"

    async def _understand(self, request: CreateTaskRequest, caller: Caller) -> Accepted:
        agent = request.agent or AGENT_DEFAULT
        operation = request.operation or OPERATION_DEFAULT
        await self._registry.require_agent(agent)
        repository_id = await self._registry.repository_id(request.repository) if request.repository else ""
        model = (await self._registry.models(operation, agent=agent, alias=request.model))[0]
        return Accepted(
            method=Method.CREATE_TASK,
            requester=_name(caller),
            agent_slug=agent,
            operation=operation,
            model_alias=model.alias,
            model_label=model.label,
            repository_id=repository_id,
            thread_id="",
        )

    async def send_message(self, request: SendMessageRequest) -> str:
        """Accept a further message in the thread of a run; returns the id of the message's own run."""
        caller = current_caller()
        run = await self._run(request.task_run_id)
        key = manual.external_id(_name(caller), request.request_id)
        accepted = _in_thread_of(run, Method.SEND_MESSAGE, caller)
        held = await self._commit(
            caller,
            key,
            accepted,
            order_key=_thread_order(run),
            request=request,
            request_id=request.request_id,
        )
        return manual.run_of(caller.tenant_id, key, held)

    async def cancel(self, request: CancelTaskRequest) -> None:
        """Accept a stop of one run; repeating it changes nothing."""
        caller = current_caller()
        run = await self._run(request.task_run_id)
        key = manual.cancel_external_id(run.task_run_id)
        accepted = _in_thread_of(run, Method.CANCEL_TASK, caller, stop=run.task_run_id)
        await self._commit(
            caller, key, accepted, order_key=_thread_order(run), request=request, request_id=""
        )

    async def _run(self, task_run_id: str) -> TaskRun:
        response = await self._task_runs.GetTaskRun(GetTaskRunRequest(task_run_id=task_run_id))
        return response.task_run

    async def _commit(
        self,
        caller: Caller,
        key: str,
        accepted: Accepted,
        *,
        order_key: str,
        request: Message,
        request_id: str,
    ) -> Accepted:
        """Keep the request and handle it; returns what it was first understood as."""
        body = request.SerializeToString(deterministic=True)
        new = manual.delivery(key, accepted, order_key=order_key, body=body)
        (kept,) = await self._inbox.keep(caller.tenant_id, [new], reserved=RESERVED)
        held = accepted
        if not kept.is_new:
            content = await self._inbox.content(caller.tenant_id, kept.id)
            held = manual.accepted(content)
            if (held.method, content.body) != (accepted.method, body):
                raise RequestIdReused(request_id)
        reach(CrashPoint.INBOX_COMMITTED)
        await self._handle(kept.id)
        return held

    async def _handle(self, delivery_id: str) -> None:
        try:
            await self._relay.handle_now(delivery_id)
        except ServiceError as error:  # committed is enough: the relay gets to it
            log.info("handled_later", delivery_id=delivery_id, reason=error.reason)
            self._relay.wake()


def _in_thread_of(run: TaskRun, method: Method, caller: Caller, *, stop: str = "") -> Accepted:
    return Accepted(
        method=method,
        requester=_name(caller),
        agent_slug=run.agent_slug,
        operation=run.operation,
        model_alias=run.model_alias,
        model_label=run.model_label,
        repository_id=run.repository_id,
        thread_id=run.thread_id,
        address=MessageToJson(run.address, preserving_proto_field_name=True, indent=None),
        task_run_id=stop,
    )


def _thread_order(run: TaskRun) -> str:
    """The thread's order key: its workflow id without the tenant's slug."""
    return run.workflow_id.partition("/")[2]


def _name(caller: Caller) -> str:
    return caller.principal.name if caller.principal else ""
