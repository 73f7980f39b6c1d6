"""DriveWatchService: parse, let the part decide, reply."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aucert.dispatcher.v1 import drive_watch_service_pb2 as pb
from aucert.dispatcher.v1.drive_watch_service_pb2_grpc import DriveWatchServiceServicer
from services.common.caller import current_caller
from services.dispatcher import convert
from services.dispatcher.domain import DriveTarget, DriveWatch
from services.dispatcher.drive_watch_store import DriveWatchStore
from services.dispatcher.drive_watches import DriveWatches
from services.dispatcher.errors import PageTokenInvalid

if TYPE_CHECKING:
    from services.common.door import Context

PAGE_SIZE, PAGE_SIZE_MAX = 50, 200


class DriveWatchServicer(DriveWatchServiceServicer):
    """Works for the caller's tenant, but for the renewals of all."""

    def __init__(self, watches: DriveWatches, store: DriveWatchStore) -> None:
        self._watches = watches
        self._store = store

    async def RegisterDriveWatch(
        self, request: pb.RegisterDriveWatchRequest, context: Context
    ) -> pb.RegisterDriveWatchResponse:
        """Watch a target."""
        del context
        watch = await self._watches.register(
            current_caller().tenant_id,
            DriveTarget(request.file_id, request.drive_id),
            agent=request.agent,
            public_base_url=request.public_base_url,
        )
        return pb.RegisterDriveWatchResponse(drive_watch=convert.drive_watch(watch))

    async def ListDriveWatches(
        self, request: pb.ListDriveWatchesRequest, context: Context
    ) -> pb.ListDriveWatchesResponse:
        """A page of watches."""
        del context
        size = min(request.page_size or PAGE_SIZE, PAGE_SIZE_MAX)
        found = await self._store.page(
            current_caller().tenant_id, after=_key(request.page_token), limit=size + 1
        )
        shown = found[:size]
        return pb.ListDriveWatchesResponse(
            drive_watches=[convert.drive_watch(each) for each in shown],
            next_page_token=_token(shown[-1]) if len(found) > size else "",
        )

    async def RenewDriveWatch(
        self, request: pb.RenewDriveWatchRequest, context: Context
    ) -> pb.RenewDriveWatchResponse:
        """Replace a watch."""
        del context
        watch = await self._watches.renew(current_caller().tenant_id, request.channel_id)
        return pb.RenewDriveWatchResponse(drive_watch=convert.drive_watch(watch))

    async def StopDriveWatch(
        self, request: pb.StopDriveWatchRequest, context: Context
    ) -> pb.StopDriveWatchResponse:
        """Close a watch."""
        del context
        await self._watches.stop(current_caller().tenant_id, request.channel_id)
        return pb.StopDriveWatchResponse()

    async def RenewDueDriveWatches(
        self, request: pb.RenewDueDriveWatchesRequest, context: Context
    ) -> pb.RenewDueDriveWatchesResponse:
        """Renew what is due, for all tenants."""
        del request, context
        done = await self._watches.renew_due(datetime.now(UTC))
        return pb.RenewDueDriveWatchesResponse(
            renewed_count=done.renewed, failed_count=done.failed, purged_count=done.purged
        )


def _token(last: DriveWatch) -> str:
    key = [last.expiration_time.isoformat(), last.channel_id]
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def _key(token: str) -> tuple[datetime, str] | None:
    """The last row of the page before. Raises PageTokenInvalid."""
    if not token:
        return None
    try:
        expiration, channel_id = json.loads(base64.urlsafe_b64decode(token))
        return datetime.fromisoformat(expiration), str(channel_id)
    except (ValueError, TypeError):
        raise PageTokenInvalid from None
