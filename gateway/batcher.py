"""Webhooks that wait while calls are under way travel together in the next call, and are committed together.

Nothing is delayed on purpose: a lone webhook goes out at once, a burst fills the calls by itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc

from aucert.dispatcher.v1.delivery_pb2 import Delivery, IngestResult
from aucert.dispatcher.v1.dispatcher_service_pb2 import IngestWebhooksRequest
from services.common.caller import Caller, calling, current_caller
from services.common.errors import Exhausted, ServiceError, Unavailable, from_rpc

if TYPE_CHECKING:
    from aucert.dispatcher.v1.dispatcher_service_pb2_grpc import DispatcherServiceAsyncStub

CALLS_MAX = 2
"""While they are under way the others gather: a call and a commit shared by many cost each of them little."""
DELIVERIES_MAX = 256
CALL_BYTES_MAX = 16 * 1024 * 1024
WAITING_MAX = 4_096
WAITING_BYTES_MAX = 64 * 1024 * 1024
CALL_TIMEOUT_SECONDS = 8.0
"""Below the 10 s GitHub waits for an answer."""
RETRY_AFTER = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class _Waiting:
    delivery: Delivery
    bytes_held: int
    caller: Caller
    verdict: asyncio.Future[IngestResult]


class Batcher:
    """At most CALLS_MAX calls under way, each with at most DELIVERIES_MAX deliveries and CALL_BYTES_MAX."""

    def __init__(self, dispatcher: DispatcherServiceAsyncStub) -> None:
        self._dispatcher = dispatcher
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._calls: dict[asyncio.Task[None], list[_Waiting]] = {}

    async def ingest(self, delivery: Delivery) -> IngestResult:
        """The dispatcher's verdict. Raises Exhausted when too much waits, and what the dispatcher answers."""
        size = delivery.ByteSize()
        if len(self._waiting) >= WAITING_MAX or self._waiting_bytes + size > WAITING_BYTES_MAX:
            raise Exhausted("Too many webhooks wait. Send it again shortly.", retry_after=RETRY_AFTER)
        verdict: asyncio.Future[IngestResult] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(delivery, size, current_caller(), verdict))
        self._waiting_bytes += size
        self._fill()
        return await verdict

    def _fill(self) -> None:
        while self._waiting and len(self._calls) < CALLS_MAX:
            batch = self._take()
            task = asyncio.create_task(self._call(batch))
            self._calls[task] = batch
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        _fail(self._calls.pop(task), _CUT)
        self._fill()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < DELIVERIES_MAX:
            size += self._waiting[0].bytes_held
            if batch and size > CALL_BYTES_MAX:
                break
            each = self._waiting.popleft()
            self._waiting_bytes -= each.bytes_held
            batch.append(each)
        return batch

    async def _call(self, batch: list[_Waiting]) -> None:
        """One call for all; it goes under the request id of the first."""
        request = IngestWebhooksRequest(deliveries=[each.delivery for each in batch])
        try:
            with calling(batch[0].caller):
                # Waits for a dispatcher that is being replaced: not all vendors send a refused webhook again.
                response = await self._dispatcher.IngestWebhooks(
                    request, timeout=CALL_TIMEOUT_SECONDS, wait_for_ready=True
                )
        except grpc.aio.AioRpcError as error:
            _fail(batch, from_rpc(error))
            return
        for each, result in zip(batch, response.results, strict=True):
            if not each.verdict.done():
                each.verdict.set_result(result)

    async def close(self) -> None:
        """Cut the calls under way and empty the queue; all senders are told to send again."""
        waiting = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        _fail(waiting, _CUT)
        for task in self._calls:
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)


_CUT = Unavailable("The gateway could not hand this in. Send it again.")


def _fail(batch: Sequence[_Waiting], error: ServiceError) -> None:
    """Give the error to all who have no verdict yet."""
    for each in batch:
        if not each.verdict.done():
            each.verdict.set_exception(error)
