"""DispatcherService: parse, let the part decide, reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aucert.dispatcher.v1 import dispatcher_service_pb2 as pb
from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceServicer
from services.common.caller import current_caller
from services.dispatcher import convert
from services.dispatcher.claims import Claims
from services.dispatcher.deliveries import Deliveries
from services.dispatcher.domain import SourceState
from services.dispatcher.ingest import Ingest
from services.dispatcher.rings import Rings
from services.dispatcher.tasks import Tasks

if TYPE_CHECKING:
    from services.common.door import Context


class DispatcherServicer(DispatcherServiceServicer):
    """The dispatcher's contract."""

    def __init__(
        self,
        ingest: Ingest,
        tasks: Tasks,
        claims: Claims,
        rings: Rings,
        deliveries: Deliveries,
        *,
        sources: Sequence[SourceState],
    ) -> None:
        self._ingest = ingest
        self._tasks = tasks
        self._claims = claims
        self._rings = rings
        self._deliveries = deliveries
        self._sources = sources

    async def IngestWebhooks(
        self, request: pb.IngestWebhooksRequest, context: Context
    ) -> pb.IngestWebhooksResponse:
        """Verify and commit deliveries."""
        del context
        return pb.IngestWebhooksResponse(results=await self._ingest.take(request.deliveries))

    async def ListSources(self, request: pb.ListSourcesRequest, context: Context) -> pb.ListSourcesResponse:
        """Say which sources are on."""
        del request, context
        return pb.ListSourcesResponse(sources=[convert.source_state(each) for each in self._sources])

    async def CreateTask(self, request: pb.CreateTaskRequest, context: Context) -> pb.CreateTaskResponse:
        """Accept a task."""
        del context
        task_run_id, workflow_id = await self._tasks.create(request)
        return pb.CreateTaskResponse(task_run_id=task_run_id, workflow_id=workflow_id)

    async def SendMessage(self, request: pb.SendMessageRequest, context: Context) -> pb.SendMessageResponse:
        """Accept a message in a run's thread."""
        del context
        return pb.SendMessageResponse(task_run_id=await self._tasks.send_message(request))

    async def CancelTask(self, request: pb.CancelTaskRequest, context: Context) -> pb.CancelTaskResponse:
        """Accept a stop."""
        del context
        await self._tasks.cancel(request)
        return pb.CancelTaskResponse()

    async def RingThreads(self, request: pb.RingThreadsRequest, context: Context) -> pb.RingThreadsResponse:
        """Wake threads."""
        del context
        await self._rings.ring(current_caller().tenant_id, request.thread_ids)
        return pb.RingThreadsResponse()

    async def ClaimNextEvent(
        self, request: pb.ClaimNextEventRequest, context: Context
    ) -> pb.ClaimNextEventResponse:
        """Put the finished event away and hand out the next."""
        del context
        event = await self._claims.next(
            current_caller().tenant_id,
            request.thread_id,
            finished_event_id=request.finished_thread_event_id or None,
        )
        return pb.ClaimNextEventResponse(event=convert.claimed_event(event) if event else None)

    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, context: Context
    ) -> pb.ListDeliveriesResponse:
        """A page of the inbox."""
        del context
        return await self._deliveries.list(current_caller(), request)

    async def GetDelivery(self, request: pb.GetDeliveryRequest, context: Context) -> pb.GetDeliveryResponse:
        """One delivery."""
        del context
        return await self._deliveries.get(current_caller(), request.delivery_id)

    async def RedeliverWebhook(
        self, request: pb.RedeliverWebhookRequest, context: Context
    ) -> pb.RedeliverWebhookResponse:
        """Have a delivery handled again."""
        del context
        return await self._deliveries.redeliver(current_caller(), request.delivery_id)

    async def ListRefusals(
        self, request: pb.ListRefusalsRequest, context: Context
    ) -> pb.ListRefusalsResponse:
        """What was refused."""
        del context
        return await self._deliveries.refusals(request.days)
