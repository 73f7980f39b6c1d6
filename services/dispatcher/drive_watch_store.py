"""Every query of `drive_watches`: one live watch a target, by tenant; what is due, across tenants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, literal, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database
from services.dispatcher.domain import DriveTarget, DriveWatch
from services.dispatcher.errors import DriveWatchNotFound
from services.dispatcher.tables import DriveWatch as Row

DUE_MAX = 1_000
"""Watches renewed by one run; the next run takes the others."""


class DriveWatchStore:
    """Through the service role and the relay role."""

    def __init__(self, service: Database, relay: Database) -> None:
        self._service = service
        self._relay = relay

    async def live(self, tenant_id: str, target: DriveTarget) -> DriveWatch | None:
        """The watch of a target that is ours still, even if its time is over."""
        query = select(Row.__table__).where(
            Row.file_id == target.file_id, Row.drive_id == target.drive_id, Row.stopped_time.is_(None)
        )
        async with self._service.tenant(tenant_id) as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else _watch(row)

    async def get(self, tenant_id: str, channel_id: str) -> DriveWatch:
        """Raises DriveWatchNotFound."""
        async with self._service.tenant(tenant_id) as connection:
            query = select(Row.__table__).where(Row.channel_id == channel_id)
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise DriveWatchNotFound(channel_id)
        return _watch(row)

    async def page(
        self, tenant_id: str, *, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[DriveWatch]:
        """Watches by the time they end, from the one after `after` on."""
        query = select(Row.__table__).order_by(Row.expiration_time, Row.channel_id).limit(limit)
        if after is not None:
            last = tuple_(literal(after[0], Row.expiration_time.type), literal(after[1], Row.channel_id.type))
            query = query.where(tuple_(Row.expiration_time, Row.channel_id) > last)
        async with self._service.tenant(tenant_id) as connection:
            return [_watch(row) for row in await connection.execute(query)]

    async def put(self, watch: DriveWatch, *, instead_of: str | None) -> DriveWatch | None:
        """Write down a watch that was opened, in the place of another. None: somebody else did."""
        async with self._service.tenant(watch.tenant_id) as connection:
            if instead_of is not None:
                await connection.send(_stop(instead_of))
            written = (
                insert(Row)
                .values(
                    channel_id=watch.channel_id,
                    tenant_id=watch.tenant_id,
                    file_id=watch.target.file_id,
                    drive_id=watch.target.drive_id,
                    watches_log=watch.watches_log,
                    agent_id=watch.agent_id,
                    resource_id=watch.resource_id,
                    address=watch.address,
                    expiration_time=watch.expiration_time,
                )
                .on_conflict_do_nothing()
                .returning(Row.__table__)
            )
            row = (await connection.execute(written)).first()
        return None if row is None else _watch(row)

    async def stop(self, tenant_id: str, channel_id: str) -> None:
        """Note that a watch is ours no more; repeating it changes nothing."""
        async with self._service.tenant(tenant_id) as connection:
            await connection.execute(_stop(channel_id))

    async def due(self, until: datetime) -> Sequence[tuple[str, str]]:
        """Tenants and channels of live watches that end by then, first to end first; DUE_MAX at most."""
        async with self._relay.transaction() as connection:
            rows = await connection.execute(_DUE, {"until": until, "limit": DUE_MAX})
            return [(str(row.tenant_id), str(row.channel_id)) for row in rows]

    async def purge(self, ended_before: datetime) -> int:
        """Forget watches that ended before then; how many."""
        async with self._relay.transaction() as connection:
            return (await connection.execute(_PURGE, {"ended_before": ended_before})).rowcount


_DUE = text("""
SELECT tenant_id, channel_id FROM drive_watches
WHERE stopped_time IS NULL AND expiration_time <= :until
ORDER BY expiration_time LIMIT :limit
""")
_PURGE = text("DELETE FROM drive_watches WHERE expiration_time < :ended_before")


def _stop(channel_id: str) -> Any:
    stopped = update(Row).where(Row.channel_id == channel_id, Row.stopped_time.is_(None))
    return stopped.values(stopped_time=func.now())


def _watch(row: Any) -> DriveWatch:
    return DriveWatch(
        channel_id=row.channel_id,
        tenant_id=row.tenant_id,
        target=DriveTarget(row.file_id, row.drive_id),
        watches_log=row.watches_log,
        agent_id=row.agent_id,
        resource_id=row.resource_id,
        address=row.address,
        expiration_time=row.expiration_time,
        created_time=row.created_time,
        stopped_time=row.stopped_time,
    )
