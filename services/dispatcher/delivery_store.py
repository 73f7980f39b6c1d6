"""Every query of the inbox that people ask: list, show, have handled again; and forgetting what is over.

Handling deliveries is `inbox_store`'s. Forgetting goes across tenants, so it runs as the relay role.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, text, update

from services.common.database import Database, Transaction
from services.dispatcher.domain import Content, DeliveryFilter, DeliveryState
from services.dispatcher.errors import DeliveryDone, DeliveryNotFound
from services.dispatcher.tables import ThreadEvent
from services.dispatcher.tables import WebhookDelivery as Row

LOOKED_AT_MAX = 10_000
"""Rows one page looks at for those its filter lets through."""
PURGE_BATCH = 500


class DeliveryStore:
    """The table `webhook_deliveries`, through the service role and the relay role."""

    def __init__(self, service: Database, relay: Database) -> None:
        self._service = service
        self._relay = relay

    async def page(
        self, tenant_id: str, wanted: DeliveryFilter, *, before: int | None, limit: int
    ) -> tuple[list[DeliveryState], int | None]:
        """Deliveries that came before a position (None: the newest), newest first, and where the next page
        begins; None: there is none. May find fewer than `limit` while there is a next page."""
        window = select(Row.position).order_by(Row.position.desc()).offset(LOOKED_AT_MAX - 1).limit(1)
        found = _states().order_by(Row.position.desc()).limit(limit + 1)
        for condition in _conditions(wanted):
            found = found.where(condition)
        if before is not None:
            window, found = window.where(Row.position < before), found.where(Row.position < before)
        async with self._service.tenant(tenant_id) as connection:
            floor = (await connection.execute(window)).scalar_one_or_none()
            if floor is not None:
                found = found.where(Row.position >= floor)
            rows = (await connection.execute(found)).all()
        shown = [_state(row) for row in rows[:limit]]
        return shown, rows[limit - 1].position if len(rows) > limit else floor

    async def get(self, tenant_id: str, delivery_id: str) -> DeliveryState:
        """Raises DeliveryNotFound."""
        async with self._service.tenant(tenant_id) as connection:
            return await _get(connection, delivery_id)

    async def content(self, tenant_id: str, delivery_id: str) -> Content:
        """What a delivery holds. Raises DeliveryNotFound."""
        query = select(Row.headers, Row.body, Row.received_time).where(Row.id == delivery_id)
        async with self._service.tenant(tenant_id) as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise DeliveryNotFound(delivery_id)
        return Content(headers=row.headers, body=bytes(row.body), received_time=row.received_time)

    async def reopen(self, tenant_id: str, delivery_id: str, *, asked_by: str) -> DeliveryState:
        """Have a delivery handled as if it had just come; one that is being handled stays as it is.

        Raises DeliveryNotFound, and DeliveryDone where every event it told has its runs.
        """
        unhandled = (
            select(ThreadEvent.id)
            .where(ThreadEvent.delivery_id == delivery_id, ThreadEvent.dispatched_time.is_(None))
            .exists()
        )
        opened = (
            update(Row)
            .where(Row.id == delivery_id, Row.status != "leased", (Row.status != "done") | unhandled)
            .values(
                status="pending",
                attempts=0,
                next_attempt_time=func.now(),
                outcome_reason="",
                finished_time=None,
                redelivered_by=asked_by,
                redelivered_time=func.now(),
            )
        )
        async with self._service.tenant(tenant_id) as connection:
            await connection.send(opened)
            state = await _get(connection, delivery_id)
        if state.status == "done":
            raise DeliveryDone(delivery_id)
        return state

    async def purge(self, *, over_for: timedelta, dead_for: timedelta) -> dict[str, int]:
        """Forget a batch, of PURGE_BATCH at most, of each kind; how many, by the kind's name.

        What is live stays, however old, and events stay: an act that is told once more starts nothing.
        """
        async with self._relay.transaction() as connection:
            over = await connection.execute(_PURGE_OVER, {"kept": over_for, "limit": PURGE_BATCH})
            dead = await connection.execute(_PURGE_DEAD, {"kept": dead_for, "limit": PURGE_BATCH})
        return {"over": over.rowcount, "dead": dead.rowcount}


# SKIP LOCKED: one that is opened again at this moment is none of ours, and other sweeps take other rows.
_PURGE = """
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries
    WHERE {} AND finished_time < now() - CAST(:kept AS interval)
    ORDER BY finished_time LIMIT :limit FOR UPDATE SKIP LOCKED)
"""
_PURGE_OVER = text(_PURGE.format("status IN ('done', 'ignored')"))
_PURGE_DEAD = text(_PURGE.format("status = 'dead'"))


def _conditions(wanted: DeliveryFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.source:
        yield Row.source == wanted.source
    if wanted.status:
        yield Row.status == wanted.status
    if wanted.received_after is not None:
        yield Row.received_time >= wanted.received_after
    if wanted.received_before is not None:
        yield Row.received_time < wanted.received_before


def _states() -> Select[Any]:
    left_out = (Row.headers, Row.body, Row.lease_owner, Row.leased_until)
    names = {each.key for each in left_out}
    columns = [column for column in Row.__table__.columns if column.key not in names]
    return select(*columns, func.octet_length(Row.body).label("body_size_bytes"))


async def _get(connection: Transaction, delivery_id: str) -> DeliveryState:
    row = (await connection.execute(_states().where(Row.id == delivery_id))).one_or_none()
    if row is None:
        raise DeliveryNotFound(delivery_id)
    return _state(row)


def _state(row: Any) -> DeliveryState:
    live: datetime | None = row.next_attempt_time if row.finished_time is None else None
    return DeliveryState(
        id=row.id,
        source=row.source,
        external_id=row.external_id,
        order_key=row.order_key,
        position=row.position,
        status=row.status,
        outcome_reason=row.outcome_reason,
        attempts=row.attempts,
        received_time=row.received_time,
        next_attempt_time=live,
        finished_time=row.finished_time,
        thread_event_id=row.thread_event_id or "",
        redelivered_by=row.redelivered_by,
        redelivered_time=row.redelivered_time,
        body_size_bytes=row.body_size_bytes,
    )
