"""Counts deliveries that were refused, by day, source and reason; what they held is not kept.

Strangers can send any number of them, so they are counted in memory and written down together.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import structlog
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database
from services.dispatcher import metrics
from services.dispatcher.domain import Refusals
from services.dispatcher.tables import DeliveryRefusals as Row

FLUSH_SECONDS = 5.0
ROWS_MAX = 1_000

log = structlog.get_logger()


class RefusalStore:
    """The table `delivery_refusals`."""

    def __init__(self, service: Database, relay: Database) -> None:
        self._service = service
        self._relay = relay

    async def add(self, counts: Sequence[tuple[date, str, str, int]], *, last: datetime) -> None:
        """Add to the counts of days, sources and reasons."""
        async with self._service.transaction() as connection:
            # In one order everywhere, so that two processes never wait for each other in a circle.
            for day, source, reason, count in sorted(counts):
                new = insert(Row).values(
                    day=day, source=source, reason=reason, refused_count=count, last_refused_time=last
                )
                await connection.send(
                    new.on_conflict_do_update(
                        index_elements=[Row.day, Row.source, Row.reason],
                        set_={
                            "refused_count": Row.refused_count + new.excluded.refused_count,
                            "last_refused_time": new.excluded.last_refused_time,
                        },
                    )
                )

    async def since(self, day: date) -> list[Refusals]:
        """The counts from a day on, the latest first; ROWS_MAX at most."""
        query = (
            select(Row.__table__)
            .where(Row.day >= day)
            .order_by(Row.day.desc(), Row.source, Row.reason)
            .limit(ROWS_MAX)
        )
        async with self._service.transaction() as connection:
            return [
                Refusals(row.day, row.source, row.reason, row.refused_count, row.last_refused_time)
                for row in await connection.execute(query)
            ]

    async def purge(self, kept: timedelta) -> None:
        """Forget days that ended longer ago."""
        async with self._relay.transaction() as connection:
            await connection.execute(_PURGE, {"kept": kept})


_PURGE = text("DELETE FROM delivery_refusals WHERE day < now() - CAST(:kept AS interval)")


class RefusalCounts:
    """Counts at once, writes every FLUSH_SECONDS and at the end."""

    def __init__(self, store: RefusalStore) -> None:
        self._store = store
        self._counts: Counter[tuple[date, str, str]] = Counter()

    def count(self, source: str, reason: str) -> None:
        """One more. `source` is one of ours or "unknown": what strangers send makes no table grow."""
        metrics.REFUSED.labels(source, reason).inc()
        self._counts[datetime.now(UTC).date(), source, reason] += 1

    async def forever(self) -> None:
        """Write until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write down what was counted; what cannot be written is counted on."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await self._store.add([(*key, count) for key, count in counts.items()], last=datetime.now(UTC))
        except Exception as error:  # noqa: BLE001 - the loop outlives whatever is away
            self._counts.update(counts)
            log.warning("refusals_not_written", reason=getattr(error, "reason", type(error).__name__))
