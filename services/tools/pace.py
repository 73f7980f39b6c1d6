"""Calls of vendors kept within their limits, together with all other processes.

A short wait is waited for in place; a longer one is VendorRateLimited, which its caller can wait for cheaper.
When a vendor asks for patience itself, every process is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from services.common.quotas.limits import QuotaExceeded
from services.common.quotas.meter import Taken
from services.common.quotas.shared import SharedLimits
from services.tools.vendor_errors import VendorRateLimited
from services.tools.vendor_limits import Use

WAIT_IN_PLACE_MAX = timedelta(seconds=2)


class Pace:
    """Lets calls through. Without shared limits: all of them, but none while its vendor asks for patience."""

    def __init__(self, limits: SharedLimits | None = None) -> None:
        self._limits = limits or SharedLimits()

    @asynccontextmanager
    async def keeping(self, vendor: str, uses: Sequence[Use]) -> AsyncIterator[None]:
        """Make one call in the block. Raises VendorRateLimited, with nothing sent."""
        try:
            await self._take(uses)
        except QuotaExceeded as exceeded:
            raise VendorRateLimited(
                f"{vendor}'s calls are used up for now.", retry_after=exceeded.retry_after
            ) from None
        try:
            yield
        except VendorRateLimited as limited:
            if limited.retry_after is not None:
                await self._limits.block(uses[0].limit.key, limited.retry_after)
            raise

    async def _take(self, uses: Sequence[Use]) -> None:
        taken: list[tuple[Taken, Use]] = []
        try:
            for use in uses:
                units = await self._patiently(use)
                taken.append((units, use))
        except QuotaExceeded:
            for each, use in taken:
                each.give_back(use.units)
            raise

    async def _patiently(self, use: Use) -> Taken:
        try:
            return await self._limits.take(use.limit, use.units)
        except QuotaExceeded as exceeded:
            if exceeded.retry_after > WAIT_IN_PLACE_MAX:
                raise
            await asyncio.sleep(exceeded.retry_after.total_seconds())
        return await self._limits.take(use.limit, use.units)
