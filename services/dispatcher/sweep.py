"""Rings threads that were left with an unfinished event: a ring got lost, or a workflow was ended by hand."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from services.dispatcher import metrics
from services.dispatcher.domain import Bell
from services.dispatcher.ringer import Ringer
from services.dispatcher.thread_store import ThreadStore

INTERVAL_SECONDS = 60.0
LEFT_OVER_AFTER = timedelta(seconds=5)
PAGES_MAX = 20
RINGS_AT_ONCE_MAX = 16

log = structlog.get_logger()


class Sweep:
    """Sweeps all tenants every `interval_seconds`, at most PAGES_MAX pages a time."""

    def __init__(
        self,
        threads: ThreadStore,
        ringer: Ringer,
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        left_over_after: timedelta = LEFT_OVER_AFTER,
    ) -> None:
        self._threads = threads
        self._ringer = ringer
        self._interval_seconds = interval_seconds
        self._left_over_after = left_over_after
        self._after: str | None = None

    async def forever(self) -> None:
        """Sweep until cancelled; a sweep that fails is repeated at the next interval."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001 - the loop outlives whatever is away
                log.warning("sweep_failed", reason=getattr(error, "reason", type(error).__name__))

    async def once(self) -> int:
        """Ring every thread that is left over; returns how many were rung."""
        rung = 0
        limit = asyncio.Semaphore(RINGS_AT_ONCE_MAX)
        for _ in range(PAGES_MAX):
            page = await self._threads.unfinished_threads(
                older_than=self._left_over_after, after_thread_id=self._after
            )
            if not page:
                self._after = None
                break

            async def ring(bell: Bell) -> bool:
                async with limit:
                    return await self._ring(bell)

            answers = await asyncio.gather(*(ring(bell) for bell in page))
            rung += sum(answers)
            self._after = page[-1].thread_id
            if not any(answers):  # Temporal is away; the next sweep goes on from here
                break
        metrics.SWEPT.inc(rung)
        return rung

    async def _ring(self, bell: Bell) -> bool:
        """Whether it was rung; one that cannot be keeps no other thread waiting."""
        try:
            await self._ringer.ring(bell)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep tries again
            log.warning(
                "ring_failed",
                thread_id=bell.thread_id,
                reason=getattr(error, "reason", type(error).__name__),
            )
            return False
        return True
