"""The API as a source: requests made of us go through the inbox like any vendor's notification.

What a request meant when it was accepted (agent, model, thread) is kept in the delivery's headers, so
handling it later, or again, gives the same event and the same ids whatever was configured since.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum

from aucert.dispatcher.v1.dispatcher_service_pb2 import CreateTaskRequest, SendMessageRequest
from services.dispatcher.domain import (
    Author,
    Content,
    Event,
    EventKind,
    ModelChoice,
    NewDelivery,
    SourceName,
    ThreadRef,
    task_run_id,
    thread_event_id,
)

MANUAL_ADDRESS = {"manual": {}}


class Method(StrEnum):
    """What was asked for."""

    CREATE_TASK = "CreateTask"
    SEND_MESSAGE = "SendMessage"
    CANCEL_TASK = "CancelTask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A request as it was understood when it was accepted; all text, to be kept as headers.

    The words are not among it: they are in the body, the serialised request.

    `thread_id` is empty for a new task. `task_run_id` is the run to stop, for a cancellation. `address` is
    the thread's ThreadAddress as JSON text.
    """

    method: Method
    requester: str
    agent_slug: str
    operation: str
    model_alias: str
    model_label: str
    repository_id: str
    thread_id: str
    address: str = json.dumps(MANUAL_ADDRESS)
    task_run_id: str = ""


def external_id(principal: str, request_id: str) -> str:
    """The inbox key of a request: a caller's keys are its own. Without one every request is new."""
    return f"request/{principal}/{request_id}" if request_id else f"once/{uuid.uuid4()}"


def cancel_external_id(run_id: str) -> str:
    """The inbox key of a cancellation: one a run."""
    return f"cancel/{run_id}"


def delivery(key: str, accepted: Accepted, *, order_key: str, body: bytes) -> NewDelivery:
    """The inbox row of a request."""
    return NewDelivery(
        source=SourceName.MANUAL,
        external_id=key,
        order_key=order_key,
        headers=asdict(accepted),
        body=body,
        received_time=datetime.now(UTC),
    )


def accepted(content: Content) -> Accepted:
    """Read back what was kept."""
    kept = dict(content.headers)
    return Accepted(method=Method(kept.pop("method")), **kept)


def run_of(tenant_id: str, key: str, request: Accepted) -> str:
    """The id of the run a request makes, before there is one."""
    return task_run_id(thread_event_id(tenant_id, _event_key(key)), request.model_alias)


def workflow_path(run_id: str) -> str:
    """What follows the tenant's slug in the workflow id of a task of its own."""
    return f"manual/{run_id}"


def event(tenant_id: str, key: str, content: Content) -> Event:
    """The event in a kept request."""
    request = accepted(content)
    is_stop = request.method is Method.CANCEL_TASK
    words = _words(request.method, content.body)
    run_id = run_of(tenant_id, key, request)
    own_thread = ThreadRef(
        source=SourceName.MANUAL, key=run_id, address=MANUAL_ADDRESS, workflow_path=workflow_path(run_id)
    )
    return Event(
        key=_event_key(key),
        kind=EventKind.STOP if is_stop else EventKind.MESSAGE,
        source=SourceName.MANUAL,
        agent_slug=request.agent_slug,
        author=Author(login=request.requester, trusted=True),  # they hold a token of the tenant
        text=words,
        description=words,
        address=json.loads(request.address),
        models=() if is_stop else (ModelChoice(request.model_alias, request.model_label),),
        thread=None if request.thread_id else own_thread,
        thread_id=request.thread_id or None,
        operation=request.operation,
        repository_id=request.repository_id,
        stop_task_run_id=request.task_run_id or None,
    )


def _words(method: Method, body: bytes) -> str:
    """What the caller said, as PostgreSQL takes it. A cancellation says nothing."""
    if method is Method.CANCEL_TASK:
        return ""
    request = CreateTaskRequest if method is Method.CREATE_TASK else SendMessageRequest
    return request.FromString(body).message.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _event_key(key: str) -> str:
    return f"manual:{key}"
