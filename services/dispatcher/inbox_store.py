"""Every query of the inbox: keep deliveries, lease them in order, put them away.

Leasing looks across tenants, so it runs as the relay role, which sees no content; all else is bound to
the delivery's tenant. A delivery is put away only by the holder of its lease.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

from psycopg.types.json import Jsonb
from sqlalchemy import func, select, text, update

from services.common.database import Database, Transaction
from services.dispatcher.domain import Content, KeptDelivery, LeasedDelivery, NewDelivery
from services.dispatcher.tables import WebhookDelivery

LEASE_SECONDS = 30.0
"""How long a relay may hold a delivery; after a crash it is taken up again that much later."""
LEASE_BATCH_MAX = 64
SUSPECT_ATTEMPTS = 2
"""From this attempt on, a delivery whose lease ran out is a suspect: its handling may kill the process."""


class InboxStore:
    """The table `webhook_deliveries`, through the service role and the relay role."""

    def __init__(self, service: Database, relay: Database, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self._service = service
        self._relay = relay
        self.lease_seconds = lease_seconds

    async def keep(
        self, tenant_id: str, deliveries: Sequence[NewDelivery], *, reserved: timedelta = timedelta(0)
    ) -> list[KeptDelivery]:
        """Commit deliveries of one tenant in one transaction; the verdicts come in their order.

        A repeat, in the table or in the batch, gives the id of the first. A dead one is opened again.
        New ones are `reserved` that long for whoever leases them by their id. Deliveries with one order key
        become visible in the order of their positions, whoever keeps them at the same moment.
        """
        distinct: dict[tuple[str, str], NewDelivery] = {}
        for each in deliveries:
            distinct.setdefault((each.source, each.external_id), each)
        async with self._service.tenant(tenant_id) as connection:
            touched = await connection.execute_sql(
                _KEEP, _arrays(tenant_id, list(distinct.values()), reserved)
            )
            ids = {(row.source, row.external_id): str(row.id) for row in touched}
            known = [key for key in distinct if key not in ids]
            if known:
                ids |= await self._ids(connection, known)
        return [
            KeptDelivery(id=ids[key], is_new=ids[key] == each.id)
            for each in deliveries
            for key in [(each.source, each.external_id)]
        ]

    async def _ids(self, connection: Transaction, keys: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
        sources, external_ids = zip(*keys, strict=True)
        rows = await connection.execute_sql(
            _FIND, {"sources": list(sources), "external_ids": list(external_ids)}
        )
        return {(row.source, row.external_id): str(row.id) for row in rows}

    async def lease(self, limit: int, *, delivery_id: str | None = None) -> list[LeasedDelivery]:
        """Lease up to `limit` due deliveries (at most LEASE_BATCH_MAX), oldest first, or the one named.

        The one named need not be due. A delivery waits while an older one of its thread is live. One whose
        lease ran out is due again, and the process that held it is taken to have died of it: that counts as
        an attempt. Suspects are left to `lease_suspect`.
        """
        return await self._lease(limit, delivery_id=delivery_id, suspects=False)

    async def suspect_waits(self) -> bool:
        """Whether a suspect is due."""
        async with self._relay.transaction() as connection:
            asked = await connection.execute(_SUSPECT_WAITS, {"delivery_id": None, "suspects": True})
            return bool(asked.scalar_one())

    async def lease_suspect(self) -> list[LeasedDelivery]:
        """Lease the oldest due suspect, if there is one: to be handled with nothing beside it."""
        return await self._lease(1, delivery_id=None, suspects=True)

    async def _lease(self, limit: int, *, delivery_id: str | None, suspects: bool) -> list[LeasedDelivery]:
        lease = str(uuid.uuid4())
        async with self._relay.transaction() as connection:
            rows = await connection.execute(
                _LEASE,
                {
                    "lease": lease,
                    "seconds": self.lease_seconds,
                    "delivery_id": delivery_id,
                    "suspects": suspects,
                    "limit": min(limit, LEASE_BATCH_MAX),
                },
            )
            return [
                LeasedDelivery(
                    id=str(row.id),
                    tenant_id=str(row.tenant_id),
                    lease=lease,
                    source=row.source,
                    external_id=row.external_id,
                    attempts=row.attempts,
                    received_time=row.received_time,
                )
                for row in sorted(rows, key=lambda row: row.position)
            ]

    async def content(self, tenant_id: str, delivery_id: str) -> Content:
        """What the delivery holds."""
        async with self._service.tenant(tenant_id) as connection:
            row = (
                await connection.execute(
                    select(
                        WebhookDelivery.headers, WebhookDelivery.body, WebhookDelivery.received_time
                    ).where(WebhookDelivery.id == delivery_id)
                )
            ).one()
        return Content(headers=row.headers, body=bytes(row.body), received_time=row.received_time)

    async def put_away(
        self,
        delivery: LeasedDelivery,
        status: str,
        *,
        reason: str = "",
        thread_event_id: str | None = None,
        attempts: int | None = None,
    ) -> bool:
        """Finish a delivery as done, ignored or dead. False: the lease was lost, nothing changed."""
        return await self._release(
            delivery,
            status=status,
            outcome_reason=reason,
            thread_event_id=thread_event_id,
            attempts=delivery.attempts if attempts is None else attempts,
            finished_time=func.now(),
        )

    async def retry(self, delivery: LeasedDelivery, *, delay: timedelta, attempts: int, reason: str) -> bool:
        """Give a delivery back, due again after the delay. False: the lease was lost, nothing changed."""
        return await self._release(
            delivery,
            status="pending",
            outcome_reason=reason,
            attempts=attempts,
            next_attempt_time=func.now() + delay,
        )

    async def _release(self, delivery: LeasedDelivery, **values: object) -> bool:
        async with self._service.tenant(delivery.tenant_id) as connection:
            changed = await connection.execute(
                update(WebhookDelivery)
                .where(
                    WebhookDelivery.id == delivery.id,
                    WebhookDelivery.status == "leased",
                    WebhookDelivery.lease_owner == delivery.lease,
                )
                .values(lease_owner=None, leased_until=None, **values)
            )
            return changed.rowcount == 1


def _arrays(tenant_id: str, deliveries: Sequence[NewDelivery], reserved: timedelta) -> dict[str, object]:
    return {
        "reserved": reserved,
        "tenant_id": uuid.UUID(tenant_id),
        "ids": [uuid.UUID(each.id) for each in deliveries],
        "sources": [each.source for each in deliveries],
        "external_ids": [each.external_id for each in deliveries],
        "order_keys": [each.order_key for each in deliveries],
        "headers": [Jsonb(dict(each.headers)) for each in deliveries],
        "bodies": [each.body for each in deliveries],
        "received_times": [each.received_time for each in deliveries],
    }


# One statement a batch, with binary arrays (%b): a fourth of the time that text parameters take.
#
# A row's position is drawn when it is inserted and seen when that is committed, so two batches that tell
# of one thread at the same moment could be seen in the wrong order. Each therefore holds its order keys
# until it is committed, taken one after the other in the order of their hashes so that none waits in a
# circle; the join makes sure that all are held before the first position is drawn.
_KEEP = b"""
WITH keys AS MATERIALIZED (
    SELECT DISTINCT hashtextextended(order_key, 0) AS hash
    FROM unnest(%(order_keys)b::text[]) AS order_key ORDER BY hash),
held AS MATERIALIZED (SELECT count(pg_advisory_xact_lock(hash)) FROM keys)
INSERT INTO webhook_deliveries (id, tenant_id, source, external_id, order_key, headers, body, received_time,
                                next_attempt_time)
SELECT new.id, %(tenant_id)b::uuid, new.source, new.external_id, new.order_key, new.headers, new.body,
       new.received_time, now() + %(reserved)b::interval
FROM held, unnest(%(ids)b::uuid[], %(sources)b::text[], %(external_ids)b::text[], %(order_keys)b::text[],
            %(headers)b::jsonb[], %(bodies)b::bytea[], %(received_times)b::timestamptz[])
     WITH ORDINALITY AS new (id, source, external_id, order_key, headers, body, received_time, place)
ORDER BY new.place
ON CONFLICT (tenant_id, source, external_id) DO UPDATE
SET status = 'pending', attempts = 0, next_attempt_time = now(), outcome_reason = '', finished_time = NULL
WHERE webhook_deliveries.status = 'dead'
RETURNING id, source, external_id
"""

_FIND = b"""
SELECT kept.id, kept.source, kept.external_id
FROM webhook_deliveries kept
JOIN unnest(%(sources)b::text[], %(external_ids)b::text[]) AS asked (source, external_id)
     USING (source, external_id)
"""

_DUE = f"""
SELECT due.id FROM webhook_deliveries due
WHERE ((due.status = 'pending' AND NOT :suspects
        AND (due.next_attempt_time <= now() OR due.id = CAST(:delivery_id AS uuid)))
       OR (due.status = 'leased' AND due.leased_until <= now()
           AND (due.attempts + 1 >= {SUSPECT_ATTEMPTS}) = :suspects))
  AND (CAST(:delivery_id AS uuid) IS NULL OR due.id = CAST(:delivery_id AS uuid))
  AND NOT EXISTS (
      SELECT FROM webhook_deliveries older
      WHERE older.tenant_id = due.tenant_id AND older.order_key = due.order_key
        AND older.position < due.position AND older.status IN ('pending', 'leased'))
"""  # noqa: S608 - constants only

# SKIP LOCKED: relays beside this one lease other rows at the same moment instead of waiting for us.
_LEASE = text(f"""
UPDATE webhook_deliveries SET
    status = 'leased',
    lease_owner = CAST(:lease AS uuid),
    leased_until = now() + make_interval(secs => :seconds),
    attempts = attempts + CASE WHEN status = 'leased' THEN 1 ELSE 0 END
WHERE id IN ({_DUE} ORDER BY due.next_attempt_time, due.position LIMIT :limit FOR UPDATE SKIP LOCKED)
RETURNING id, tenant_id, source, external_id, attempts, received_time, position
""")  # noqa: S608 - constants only

_SUSPECT_WAITS = text(f"SELECT EXISTS ({_DUE})")
