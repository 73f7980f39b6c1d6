"""Opens, replaces and closes the channels by which Google tells of changes in Drive.

A channel cannot be prolonged: another is opened, then the old one is closed, so for a moment both tell. After
each opening what is watched is read once, for what happened while nobody told of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
import structlog

from aucert.tools.v1.drive_changes_service_pb2 import RegisterChannelRequest, StopChannelRequest
from services.common.caller import acting_for
from services.common.errors import Refused, ServiceError, from_rpc
from services.dispatcher.container_reader import ContainerReader
from services.dispatcher.domain import AGENT_DEFAULT, DriveTarget, DriveWatch, SourceName, SourceState
from services.dispatcher.drive_renewal import KEPT_AFTER_EXPIRY, Renewal
from services.dispatcher.drive_watch_store import DriveWatchStore
from services.dispatcher.errors import PublicAddressMissing
from services.dispatcher.ingest import TENANT_DEFAULT
from services.dispatcher.registry import Registry
from services.dispatcher.tenants import Tenants

if TYPE_CHECKING:
    from aucert.tools.v1.drive_changes_service_pb2_grpc import DriveChangesServiceAsyncStub

VENDOR_SECONDS = 30.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Renewed:
    """What came of a run of renewals."""

    renewed: int
    failed: int
    purged: int


class DriveWatches:
    """`token` is what Google shows us; `public_base_url` where it reaches the gateway, empty: not known."""

    def __init__(
        self,
        *,
        google: DriveChangesServiceAsyncStub,
        store: DriveWatchStore,
        reader: ContainerReader,
        registry: Registry,
        tenants: Tenants,
        wake: Callable[[], None],
        state: SourceState,
        token: str,
        public_base_url: str,
        renewal: Renewal,
    ) -> None:
        self._google = google
        self._store = store
        self._reader = reader
        self._registry = registry
        self._tenants = tenants
        self._wake = wake
        self._state = state
        self._token = token
        self._public_base_url = public_base_url
        self._renewal = renewal

    async def register(
        self, tenant_id: str, target: DriveTarget, *, agent: str, public_base_url: str
    ) -> DriveWatch:
        """Watch a target, or say how it is watched already; at a new address it is watched anew.

        Raises PublicAddressMissing and AgentNotFound.
        """
        if not self._state.on:
            raise Refused(f"{self._state.title} is off here: {self._state.off_reason}.", reason="SOURCE_OFF")
        agent_id = await self._registry.agent_id(agent or AGENT_DEFAULT)
        known = await self._store.live(tenant_id, target)
        address = await self._address(tenant_id, public_base_url or self._public_base_url, known)
        if known is None:
            return await self._open(tenant_id, target, agent_id, address, instead_of=None)
        if known.address == address and known.expiration_time > datetime.now(UTC):
            return known
        new = await self._open(tenant_id, target, agent_id, address, instead_of=known.channel_id)
        await self._close(known)
        return new

    async def renew(self, tenant_id: str, channel_id: str) -> DriveWatch:
        """Replace a live watch; of one that was replaced already its successor. Raises DriveWatchNotFound."""
        old = await self._store.get(tenant_id, channel_id)
        if old.stopped_time is not None and (successor := await self._store.live(tenant_id, old.target)):
            return successor
        new = await self._open(tenant_id, old.target, old.agent_id, old.address, instead_of=old.channel_id)
        await self._close(old)
        return new

    async def stop(self, tenant_id: str, channel_id: str) -> None:
        """Close a watch. Raises DriveWatchNotFound."""
        watch = await self._store.get(tenant_id, channel_id)
        await self._google.StopChannel(
            StopChannelRequest(channel_id=watch.channel_id, resource_id=watch.resource_id),
            timeout=VENDOR_SECONDS,
        )
        await self._store.stop(tenant_id, channel_id)

    async def renew_due(self, now: datetime) -> Renewed:
        """Renew, for all tenants, what is due; forget what ended long ago."""
        renewed = failed = 0
        due = await self._store.due(self._renewal.due_until(now)) if self._state.on else []
        for tenant_id, channel_id in due:
            with acting_for(tenant_id):
                try:
                    await self.renew(tenant_id, channel_id)
                    renewed += 1
                except (grpc.aio.AioRpcError, ServiceError) as error:
                    failed += 1
                    log.warning("drive_watch_not_renewed", channel_id=channel_id, reason=_reason(error))
        purged = await self._store.purge(now - KEPT_AFTER_EXPIRY)
        log.info("drive_watches_renewed", renewed=renewed, failed=failed, purged=purged)
        return Renewed(renewed, failed, purged)

    async def _open(
        self, tenant_id: str, target: DriveTarget, agent_id: str, address: str, *, instead_of: str | None
    ) -> DriveWatch:
        channel_id = str(uuid.uuid4())
        opened = await self._google.RegisterChannel(
            RegisterChannelRequest(
                channel_id=channel_id,
                file_id=target.file_id,
                drive_id=target.drive_id,
                address=address,
                token=self._token,
            ),
            timeout=VENDOR_SECONDS,
        )
        watch = DriveWatch(
            channel_id=channel_id,
            tenant_id=tenant_id,
            target=target,
            watches_log=opened.watches_log,
            agent_id=agent_id,
            resource_id=opened.resource_id,
            address=address,
            expiration_time=opened.expiration_time.ToDatetime(UTC),
            created_time=datetime.now(UTC),
            stopped_time=None,
        )
        kept = await self._store.put(watch, instead_of=instead_of)
        if kept is None:
            await self._close(watch)  # somebody opened one beside us: theirs stays
            return await self._store.live(tenant_id, target) or watch
        await self._read(kept)
        return kept

    async def _read(self, watch: DriveWatch) -> None:
        """Best effort: catch-up comes by too."""
        try:
            await self._reader.read(watch.tenant_id, SourceName.GOOGLE_DRIVE, watch.container)
            self._wake()
        except (grpc.aio.AioRpcError, ServiceError) as error:
            log.info("drive_watch_not_read", channel_id=watch.channel_id, reason=_reason(error))

    async def _close(self, watch: DriveWatch) -> None:
        """Best effort: what is not closed ends by itself, and until then only tells twice."""
        request = StopChannelRequest(channel_id=watch.channel_id, resource_id=watch.resource_id)
        try:
            await self._google.StopChannel(request, timeout=VENDOR_SECONDS)
        except grpc.aio.AioRpcError as error:
            log.info("drive_channel_not_closed", channel_id=watch.channel_id, reason=_reason(error))

    async def _address(self, tenant_id: str, base_url: str, known: DriveWatch | None) -> str:
        if not base_url:
            if known is None:
                raise PublicAddressMissing
            return known.address
        slug = await self._tenants.slug_of(tenant_id)
        path = f"/webhooks/{SourceName.GOOGLE_DRIVE}"
        return base_url.rstrip("/") + (path if slug == TENANT_DEFAULT else f"{path}/{slug}")


def _reason(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc(error).reason
    return str(getattr(error, "reason", type(error).__name__))
