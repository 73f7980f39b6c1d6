"""Every query of threads and their events: number them, hand out the next one, find those left over."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import Select, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database, Transaction
from services.common.statements import one_of
from services.dispatcher.domain import Bell, Event, EventKind, Json, ModelChoice, ThreadEvent, thread_event_id
from services.dispatcher.errors import ThreadNotFound
from services.dispatcher.tables import Thread
from services.dispatcher.tables import ThreadEvent as Row

BELLS_PAGE_MAX = 500
RECENT = timedelta(days=1)


class ThreadStore:
    """The tables `threads` and `thread_events`, through the service role and the relay role."""

    def __init__(self, service: Database, relay: Database) -> None:
        self._service = service
        self._relay = relay

    async def record(
        self, tenant_id: str, tenant_slug: str, event: Event, *, delivery_id: str
    ) -> ThreadEvent:
        """Give an event the next number of its thread; one that is on record comes back as it is.

        The lock on the thread's row makes the numbers follow each other in the order they become visible.
        An event that was given up before its runs were on record is opened again, as one of this delivery.
        """
        event_id = thread_event_id(tenant_id, event.key)
        async with self._service.tenant(tenant_id) as connection:
            thread_id, seq = await self._lock_thread(connection, tenant_id, tenant_slug, event)
            inserted = await connection.execute(
                insert(Row)
                .values(
                    id=event_id,
                    tenant_id=tenant_id,
                    thread_id=thread_id,
                    seq=seq,
                    **_columns(event, delivery_id),
                )
                .on_conflict_do_nothing(index_elements=[Row.tenant_id, Row.source, Row.event_key])
                .returning(Row.id)
            )
            if inserted.first() is not None:
                await connection.send(update(Thread).where(Thread.id == thread_id).values(next_seq=seq + 1))
            else:
                await connection.send(
                    update(Row)
                    .where(Row.id == event_id, Row.dispatched_time.is_(None))
                    .values(finished_time=None, delivery_id=delivery_id)
                )
            return _event((await connection.execute(_events().where(Row.id == event_id))).one())

    async def _lock_thread(
        self, connection: Transaction, tenant_id: str, tenant_slug: str, event: Event
    ) -> tuple[str, int]:
        named = event.thread
        if named is not None:
            await connection.send(
                insert(Thread)
                .values(
                    id=str(uuid.uuid4()),
                    tenant_id=tenant_id,
                    source=named.source,
                    thread_key=named.key,
                    workflow_id=f"{tenant_slug}/{named.workflow_path}",
                    address=named.address,
                    agent_slug=event.agent_slug,
                )
                .on_conflict_do_nothing(index_elements=[Thread.tenant_id, Thread.source, Thread.thread_key])
            )
            which = (Thread.source == named.source) & (Thread.thread_key == named.key)
        else:
            which = Thread.id == event.thread_id
        locked = (
            select(Thread.id, Thread.next_seq).where(which, Thread.tenant_id == tenant_id).with_for_update()
        )
        row = (await connection.execute(locked)).one_or_none()
        if row is None:
            raise ThreadNotFound(event.thread_id or "")
        return row.id, row.next_seq

    async def agent_of(self, tenant_id: str, source: str, thread_key: str) -> str | None:
        """The agent that was first called into a thread. None: nobody was."""
        async with self._service.tenant(tenant_id) as connection:
            asked = select(Thread.agent_slug).where(Thread.source == source, Thread.thread_key == thread_key)
            return (await connection.execute(asked)).scalar_one_or_none()

    async def id_of(self, tenant_id: str, source: str, thread_key: str) -> str | None:
        """A thread's id. None: nothing was ever asked in it."""
        async with self._service.tenant(tenant_id) as connection:
            asked = select(Thread.id).where(Thread.source == source, Thread.thread_key == thread_key)
            return (await connection.execute(asked)).scalar_one_or_none()

    async def recent(self, tenant_id: str, source: str, *, limit: int) -> list[Json]:
        """Addresses of a source's threads in which something happened within RECENT, the latest first."""
        latest = func.max(Row.created_time)
        asked = (
            select(Thread.address, latest)
            .join(Row, Row.thread_id == Thread.id)
            .where(Thread.source == source, Row.created_time >= func.now() - RECENT)
            .group_by(Thread.id)
            .order_by(latest.desc())
            .limit(limit)
        )
        async with self._service.tenant(tenant_id) as connection:
            return (await connection.execute(asked)).scalars()

    async def mark_dispatched(self, event: ThreadEvent) -> None:
        """Note that the event's runs are on record, or its stop is."""
        async with self._service.tenant(event.tenant_id) as connection:
            await connection.send(
                update(Row)
                .where(Row.id == event.id, Row.dispatched_time.is_(None))
                .values(dispatched_time=func.now())
            )

    async def give_up(self, tenant_id: str, delivery_id: str) -> None:
        """Finish what a dead delivery left without runs, so that its thread goes on."""
        async with self._service.tenant(tenant_id) as connection:
            await connection.send(
                update(Row)
                .where(
                    Row.delivery_id == delivery_id, Row.dispatched_time.is_(None), Row.finished_time.is_(None)
                )
                .values(finished_time=func.now())
            )

    async def claim_next(
        self, tenant_id: str, thread_id: str, *, finished_event_id: str | None
    ) -> ThreadEvent | None:
        """Put the finished event away and return the oldest unfinished one. None: nothing is left.

        Raises ThreadNotFound for a thread of another tenant.
        """
        async with self._service.tenant(tenant_id) as connection:
            if (await connection.execute(select(Thread.id).where(Thread.id == thread_id))).first() is None:
                raise ThreadNotFound(thread_id)
            if finished_event_id is not None:
                await connection.send(
                    update(Row)
                    .where(
                        Row.thread_id == thread_id, Row.id == finished_event_id, Row.finished_time.is_(None)
                    )
                    .values(finished_time=func.now())
                )
            oldest = (
                _events()
                .where(Row.thread_id == thread_id, Row.finished_time.is_(None))
                .order_by(Row.seq)
                .limit(1)
            )
            row = (await connection.execute(oldest)).one_or_none()
            return None if row is None else _event(row)

    async def bells(self, tenant_id: str, thread_ids: Sequence[str]) -> Sequence[Bell]:
        """How to ring those of the threads that are the tenant's."""
        query = select(Thread.id, Thread.workflow_id).where(one_of(Thread.id, thread_ids))
        async with self._service.tenant(tenant_id) as connection:
            return [Bell(tenant_id, row.id, row.workflow_id) for row in await connection.execute(query)]

    async def unfinished_threads(
        self, *, older_than: timedelta, after_thread_id: str | None
    ) -> Sequence[Bell]:
        """A page of threads of all tenants with an unfinished event, by id, at most BELLS_PAGE_MAX."""
        async with self._relay.transaction() as connection:
            rows = await connection.execute(
                _UNFINISHED_THREADS,
                {"older_than": older_than, "after": after_thread_id, "limit": BELLS_PAGE_MAX},
            )
            return [Bell(str(row.tenant_id), str(row.id), row.workflow_id) for row in rows]


_UNFINISHED_THREADS = text("""
SELECT threads.id, threads.tenant_id, threads.workflow_id FROM threads
WHERE (CAST(:after AS uuid) IS NULL OR threads.id > CAST(:after AS uuid))
  AND threads.id IN (
      SELECT thread_id FROM thread_events
      WHERE finished_time IS NULL AND created_time <= now() - CAST(:older_than AS interval))
ORDER BY threads.id LIMIT :limit
""")


def _columns(event: Event, delivery_id: str) -> dict[str, object]:
    return {
        "source": event.source,
        "event_key": event.key,
        "kind": event.kind,
        "agent_slug": event.agent_slug,
        "author": asdict(event.author),
        "text": event.text,
        "description": event.description,
        "address": event.address,
        "operation": event.operation,
        "model_aliases": [asdict(each) for each in event.models],
        "repository_id": event.repository_id or None,
        "source_url": event.source_url,
        "requester": event.author.login,
        "delivery_id": delivery_id,
        "stop_task_run_id": event.stop_task_run_id,
        "raise_usd_micros": event.raise_usd_micros,
    }


def _events() -> Select[Any]:
    return select(Row.__table__, Thread.workflow_id).join(Thread, Thread.id == Row.thread_id)


def _event(row: Any) -> ThreadEvent:
    return ThreadEvent(
        id=row.id,
        tenant_id=row.tenant_id,
        thread_id=row.thread_id,
        workflow_id=row.workflow_id,
        seq=row.seq,
        kind=EventKind(row.kind),
        source=row.source,
        agent_slug=row.agent_slug,
        address=row.address,
        operation=row.operation,
        models=tuple(ModelChoice(**each) for each in row.model_aliases),
        description=row.description,
        requester=row.requester,
        author_id=row.author.get("external_id", ""),
        requester_trusted=row.author.get("trusted", False),  # older rows do not say
        source_url=row.source_url,
        repository_id=row.repository_id or "",
        stop_task_run_id=row.stop_task_run_id,
        raise_usd_micros=row.raise_usd_micros,
        dispatched=row.dispatched_time is not None,
    )
