"""Shows people that their comment was seen. Best effort: nothing waits for it and nothing depends on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import structlog

from aucert.tools.v1.thread_service_pb2 import AcknowledgeRequest
from services.common.errors import from_rpc
from services.dispatcher import convert
from services.dispatcher.domain import Event, SourceName

if TYPE_CHECKING:
    from aucert.tools.v1.thread_service_pb2_grpc import ThreadServiceAsyncStub

UNDER_WAY_MAX = 64
TIMEOUT_SECONDS = 10.0

log = structlog.get_logger()


class Acknowledgements:
    """Acknowledges in the background, at most UNDER_WAY_MAX at once; more are left out."""

    def __init__(self, threads: ThreadServiceAsyncStub) -> None:
        self._threads = threads
        self._under_way: set[asyncio.Task[None]] = set()

    def soon(self, event: Event) -> None:
        """Acknowledge an event of a vendor's thread, in the caller's tenant."""
        if event.source == SourceName.MANUAL:
            return
        if len(self._under_way) >= UNDER_WAY_MAX:
            log.info("acknowledgement_left_out", event_key=event.key)
            return
        task = asyncio.create_task(self._acknowledge(event))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _acknowledge(self, event: Event) -> None:
        request = AcknowledgeRequest(address=convert.address_to_proto(event.address))
        try:
            await self._threads.Acknowledge(request, timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.info("acknowledgement_failed", event_key=event.key, reason=from_rpc(error).reason)

    async def close(self) -> None:
        """Leave those under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
