"""Forgets deliveries that have been over for long, a bounded number at a time, and old counts of refusals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.dispatcher import metrics
from services.dispatcher.delivery_store import PURGE_BATCH, DeliveryStore
from services.dispatcher.refusals import RefusalStore

INTERVAL_SECONDS = 600.0
BATCHES_MAX = 100
"""A sweep; the next one goes on."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """How long what is over is kept: done and ignored deliveries, and dead ones."""

    over: timedelta
    dead: timedelta


class Retention:
    """Sweeps all tenants every INTERVAL_SECONDS."""

    def __init__(self, deliveries: DeliveryStore, refusals: RefusalStore, kept: Kept) -> None:
        self._deliveries = deliveries
        self._refusals = refusals
        self._kept = kept

    async def forever(self) -> None:
        """Sweep until cancelled; a sweep that fails is repeated at the next interval."""
        while True:
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001 - the loop outlives whatever is away
                log.warning("retention_failed", reason=getattr(error, "reason", type(error).__name__))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def once(self) -> int:
        """Forget what is due, in at most BATCHES_MAX transactions; how many deliveries."""
        total = 0
        await self._refusals.purge(self._kept.dead)
        for _ in range(BATCHES_MAX):
            purged = await self._deliveries.purge(over_for=self._kept.over, dead_for=self._kept.dead)
            for status, count in purged.items():
                metrics.PURGED.labels(status).inc(count)
            total += sum(purged.values())
            if max(purged.values()) < PURGE_BATCH:
                break
        return total
