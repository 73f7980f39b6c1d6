"""Reads one source container from its cursor on and commits what is found, as deliveries, to the inbox.

Asked by catch-up for each container in turn, and by notifications that say only where something happened.
What was known already becomes nothing new, because an event's key is the person's act. The cursor moves only
once what lies before it is committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aucert.tools.v1.catch_up_service_pb2 import MissedDelivery, ScanContainerRequest
from services.common.errors import Unavailable
from services.dispatcher import convert, metrics
from services.dispatcher.cursor_store import CursorStore
from services.dispatcher.domain import Missed, NewDelivery, OrderKey
from services.dispatcher.inbox_store import InboxStore
from services.dispatcher.thread_store import ThreadStore

if TYPE_CHECKING:
    from aucert.tools.v1.catch_up_service_pb2_grpc import CatchUpServiceAsyncStub

SCAN_SECONDS = 60.0
ROUNDS_MAX = 20
THREADS_MAX = 50
CLOCKS_APART = timedelta(seconds=5)
"""How far the clocks of gateway and database may be apart."""


class ContainerBusy(Unavailable):
    """Somebody else reads the container; what happened after they looked may escape them."""

    reason = "SERVICE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The container is being read. Try again shortly.")


class ContainerReader:
    """`order_keys`: the sources that can be read so, with how a delivery's order key is told."""

    def __init__(
        self,
        vendors: CatchUpServiceAsyncStub,
        stores: tuple[InboxStore, ThreadStore, CursorStore],
        order_keys: Mapping[str, OrderKey],
    ) -> None:
        self._vendors = vendors
        self._inbox, self._threads, self._cursors = stores
        self._order_keys = order_keys

    async def read_told(self, tenant_id: str, source: str, container: str, told_time: datetime) -> None:
        """As `read`, for what was told then; a whole reading that began later has seen it already.

        A vendor tells of each of many changes, and the first reading finds them all.
        """
        if not await self._cursors.was_read_since(tenant_id, source, container, told_time + CLOCKS_APART):
            await self.read(tenant_id, source, container)

    async def read(self, tenant_id: str, source: str, container: str) -> None:
        """Read what is new in a container of the caller's tenant; what is left waits for the next time.

        Raises ContainerBusy, and what the vendor's call raises.
        """
        cursor = await self._cursors.claim(tenant_id, source, container)
        if cursor is None:
            raise ContainerBusy
        try:
            await self._rounds(tenant_id, source, container, cursor)
        finally:
            await self._cursors.release(tenant_id, source, container)

    async def _rounds(self, tenant_id: str, source: str, container: str, cursor: str) -> None:
        recent = await self._threads.recent(tenant_id, source, limit=THREADS_MAX)
        threads = [convert.address_to_proto(each) for each in recent]
        for _ in range(ROUNDS_MAX):
            request = ScanContainerRequest(container=container, cursor=cursor, threads=threads)
            found = await self._vendors.ScanContainer(request, timeout=SCAN_SECONDS)
            await self._keep(tenant_id, source, found.deliveries)
            cursor = found.next_cursor
            await self._cursors.move(tenant_id, source, container, cursor)
            if not found.more:
                await self._cursors.note_whole(tenant_id, source, container)
                return

    async def _keep(self, tenant_id: str, source: str, missed: Sequence[MissedDelivery]) -> None:
        if not missed:
            return
        now, order_key = datetime.now(UTC), self._order_keys[source]
        deliveries = [
            NewDelivery(
                source=source,
                external_id=each.external_id,
                order_key=order_key(Missed(each.external_id, each.headers, each.body)),
                headers=dict(each.headers),
                body=each.body,
                received_time=now,
            )
            for each in missed
        ]
        kept = await self._inbox.keep(tenant_id, deliveries)
        metrics.CAUGHT_UP.labels(source).inc(sum(each.is_new for each in kept))
