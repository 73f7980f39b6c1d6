"""Has a vendor that keeps a log of its deliveries send again what failed. They come as webhooks do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aucert.tools.v1.catch_up_service_pb2 import RetryDeliveriesRequest
from services.dispatcher import metrics
from services.dispatcher.container_reader import SCAN_SECONDS, ContainerBusy
from services.dispatcher.cursor_store import CursorStore

if TYPE_CHECKING:
    from aucert.tools.v1.catch_up_service_pb2_grpc import CatchUpServiceAsyncStub

LOG = "deliveries"
"""The log's name among the containers of its source."""


class DeliveryLogReader:
    """One pass at a time over a log, whoever asks."""

    def __init__(self, vendors: CatchUpServiceAsyncStub, cursors: CursorStore) -> None:
        self._vendors = vendors
        self._cursors = cursors

    async def retry(self, tenant_id: str, source: str) -> None:
        """Have sent again what is due. Raises ContainerBusy, and what the vendor's call raises."""
        where = (tenant_id, source, f"{source}:{LOG}")
        cursor = await self._cursors.claim(*where)
        if cursor is None:
            raise ContainerBusy
        try:
            request = RetryDeliveriesRequest(source=source, cursor=cursor)
            done = await self._vendors.RetryDeliveries(request, timeout=SCAN_SECONDS)
            await self._cursors.move(*where, done.next_cursor)
        finally:
            await self._cursors.release(*where)
        metrics.SENT_AGAIN.labels(source).inc(done.retried_count)
