"""Wakes the workflow of a thread: starts it, or rings the one that runs. Ids only; order is the record's."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from services.common.errors import Unavailable
from services.common.thread_input import RING_SIGNAL, TASK_QUEUE, WORKFLOW_TYPE, ThreadInput
from services.dispatcher.domain import Bell

RING_TIMEOUT = timedelta(seconds=5)


class TemporalUnavailable(Unavailable):
    """Temporal is away; what was accepted waits in the record."""

    def __init__(self) -> None:
        super().__init__("Temporal cannot be reached. What was accepted runs once it is back.")


class Ringer(Protocol):
    """Rings a thread. A spare ring is harmless: the workflow finds nothing and ends."""

    async def ring(self, bell: Bell) -> None: ...


class TemporalRinger:
    """Rings through Temporal; `client` may be lazy, so that starting up does not need Temporal."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def ring(self, bell: Bell) -> None:
        """Start or signal the thread's workflow. Raises TemporalUnavailable."""
        try:
            await self._client.start_workflow(
                WORKFLOW_TYPE,
                ThreadInput(tenant_id=bell.tenant_id, thread_id=bell.thread_id),
                id=bell.workflow_id,
                task_queue=TASK_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal=RING_SIGNAL,
                rpc_timeout=RING_TIMEOUT,
            )
        except (RPCError, RuntimeError) as error:  # a lazy client that cannot connect raises RuntimeError
            raise TemporalUnavailable from error
