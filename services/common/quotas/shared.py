"""The limits this process shares with all others, through Astra's QuotaService.

Limits are politeness towards vendors, not safety: while Astra is away each process goes on with a fair share.
What becomes of a call that may not be made now is its caller's to say.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from aucert.astra.v1.quota_service_pb2 import BlockQuotaRequest
from services.common.quotas.lender import Lender
from services.common.quotas.limits import Limit
from services.common.quotas.meter import Meter, Taken
from services.common.quotas.slots import Slots

if TYPE_CHECKING:
    from aucert.astra.v1.quota_service_pb2_grpc import QuotaServiceAsyncStub

KEYS_MAX = 2_000
"""Windowed limits remembered; beyond it the one unused for longest is given back."""
BLOCK_MAX = timedelta(days=31)


class SharedLimits:
    """Takes from shared limits. Without a stub there is nobody to share with: only blocks are obeyed."""

    def __init__(
        self, stub: QuotaServiceAsyncStub | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._lender = Lender(stub, now) if stub is not None else None
        self._now = now
        self._meters: OrderedDict[str, Meter] = OrderedDict()
        self._slots: dict[str, Slots] = {}

    async def take(self, limit: Limit, units: int = 1) -> Taken:
        """Take units of a windowed limit. Raises QuotaExceeded, at once: waiting is the caller's."""
        return await self._meter(limit.key).take(limit, units)

    def hold(self, limit: Limit) -> AbstractAsyncContextManager[None]:
        """Hold one of the limit's slots for a block. Entering raises QuotaExceeded when none is free."""
        if limit.key not in self._slots:
            if len(self._slots) >= KEYS_MAX:
                raise LookupError("slots are for keys out of a catalogue, not for what calls name")
            self._slots[limit.key] = Slots(limit.key, self._lender)
        return self._slots[limit.key].hold(limit)

    async def block(self, key: str, duration: timedelta) -> None:
        """Take nothing of a key for a while: here from now on, elsewhere as soon as they lease again."""
        duration = min(duration, BLOCK_MAX)
        if duration <= timedelta():
            return
        self._meter(key).block(duration.total_seconds())
        if self._lender is not None:
            timeout = Duration()
            timeout.FromTimedelta(duration)
            request = BlockQuotaRequest(key=key, timeout=timeout)
            await self._lender.ask(self._lender.stub.BlockQuota, request)

    async def aclose(self) -> None:
        """Give back what is held."""
        for each in (*self._meters.values(), *self._slots.values()):
            each.close()
        if self._lender is not None:
            await self._lender.told()

    def _meter(self, key: str) -> Meter:
        if key not in self._meters:
            self._meters[key] = Meter(key, self._lender, self._now)
        self._meters.move_to_end(key)
        if len(self._meters) > KEYS_MAX:
            self._meters.popitem(last=False)[1].close()
        return self._meters[key]
