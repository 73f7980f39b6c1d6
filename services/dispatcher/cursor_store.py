"""How far each container was read: `source_cursors`. One catch-up at a time moves a container's cursor."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database
from services.dispatcher.tables import SourceCursor

CLAIM = timedelta(minutes=2)
"""How long a reading may take; one that crashed is replaced after it."""


class CursorStore:
    """Cursors are the tools service's words; nothing here reads them."""

    def __init__(self, service: Database) -> None:
        self._service = service

    async def claim(self, tenant_id: str, source: str, container: str) -> str | None:
        """The container's cursor, ours to move for CLAIM. Empty: never read. None: somebody else reads it."""
        new = insert(SourceCursor).values(
            tenant_id=tenant_id,
            source=source,
            container=container,
            claimed_until=func.now() + CLAIM,
            begun_time=func.now(),
        )
        claim = new.on_conflict_do_update(
            index_elements=[SourceCursor.tenant_id, SourceCursor.source, SourceCursor.container],
            set_={"claimed_until": new.excluded.claimed_until, "begun_time": new.excluded.begun_time},
            where=SourceCursor.claimed_until <= func.now(),
        ).returning(SourceCursor.cursor)
        async with self._service.tenant(tenant_id) as connection:
            return (await connection.execute(claim)).scalar_one_or_none()

    async def move(self, tenant_id: str, source: str, container: str, cursor: str) -> None:
        """Note how far we got."""
        await self._set(tenant_id, source, container, cursor=cursor, updated_time=func.now())

    async def note_whole(self, tenant_id: str, source: str, container: str) -> None:
        """Note that the reading at hand saw all there was when it began."""
        await self._set(tenant_id, source, container, seen_until=SourceCursor.begun_time)

    async def was_read_since(self, tenant_id: str, source: str, container: str, time: datetime) -> bool:
        """Whether a whole reading began after that time, by the database's clock."""
        query = select(SourceCursor.seen_until).where(
            SourceCursor.source == source, SourceCursor.container == container
        )
        async with self._service.tenant(tenant_id) as connection:
            seen_until = (await connection.execute(query)).scalar_one_or_none()
        return seen_until is not None and seen_until > time

    async def release(self, tenant_id: str, source: str, container: str) -> None:
        """Let others read the container."""
        await self._set(tenant_id, source, container, claimed_until=func.now())

    async def _set(self, tenant_id: str, source: str, container: str, **values: object) -> None:
        async with self._service.tenant(tenant_id) as connection:
            await connection.execute(
                update(SourceCursor)
                .where(SourceCursor.source == source, SourceCursor.container == container)
                .values(**values)
            )
