"""Wakes threads on request: of runs that may go on, say because a cap on spending was raised.

What changed is on record before anybody asks for this, so a ring that is lost is only late: the sweep has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.dispatcher.domain import Bell
from services.dispatcher.ringer import Ringer
from services.dispatcher.thread_store import ThreadStore

RINGS_AT_ONCE_MAX = 16


class Rings:
    """Rings threads of a tenant."""

    def __init__(self, threads: ThreadStore, ringer: Ringer) -> None:
        self._threads = threads
        self._ringer = ringer

    async def ring(self, tenant_id: str, thread_ids: Sequence[str]) -> None:
        """Ring the tenant's threads among these. Raises TemporalUnavailable when one cannot be rung."""
        limit = asyncio.Semaphore(RINGS_AT_ONCE_MAX)

        async def ring(bell: Bell) -> None:
            async with limit:
                await self._ringer.ring(bell)

        bells = await self._threads.bells(tenant_id, thread_ids)
        await asyncio.gather(*(ring(bell) for bell in bells))
