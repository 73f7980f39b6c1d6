"""One limit on what happens at the same time, as this process uses it: slots, held while they are in use.

A slot that becomes free is kept for a moment, so that busy callers ask nobody. Slots in use are renewed;
those of a process that died end by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from aucert.astra.v1.quota_service_pb2 import (
    LeaseQuotaRequest,
    LeaseQuotaResponse,
    RenewQuotasRequest,
    ReturnQuotaRequest,
)
from services.common.quotas.lender import FAIR_SHARE, Lender
from services.common.quotas.limits import Limit, QuotaExceeded

KEPT_SECONDS = 1.0
"""How long a free slot waits for its next user."""
RENEWALS_A_LIFE = 3
ALONE_RETRY = timedelta(seconds=1)
_ALONE = ""
"""The slot of a process that cannot ask."""


class Slots:
    """The slots of one key."""

    def __init__(self, key: str, lender: Lender | None) -> None:
        self._key = key
        self._lender = lender
        self._used: list[str] = []
        self._free: list[str] = []
        self._renewing: asyncio.Task[None] | None = None
        self._life_seconds = 0.0

    @asynccontextmanager
    async def hold(self, limit: Limit) -> AsyncIterator[None]:
        """Hold a slot for the block. Raises QuotaExceeded when none is free."""
        if self._lender is None or not limit.units:
            yield
            return
        slot = self._free.pop() if self._free else await self._lent(self._lender, limit)
        self._used.append(slot)
        self._keep_renewing(self._lender)
        try:
            yield
        finally:
            self._used.remove(slot)
            self._release(slot)

    def close(self) -> None:
        """Return the free slots now, and stop renewing those in use."""
        for slot in list(self._free):
            self._return(slot)
        if self._renewing is not None:
            self._renewing.cancel()

    async def _lent(self, lender: Lender, limit: Limit) -> str:
        request = LeaseQuotaRequest(key=self._key, limit_units=limit.units, needed_units=1)
        answer: LeaseQuotaResponse | None = await lender.ask(lender.stub.LeaseQuota, request)
        if answer is None:
            if len(self._used) >= max(1, limit.units // FAIR_SHARE):
                raise QuotaExceeded(self._key, ALONE_RETRY)
            return _ALONE
        if not answer.HasField("lease"):
            raise QuotaExceeded(self._key, answer.retry_after.ToTimedelta())
        self._life_seconds = answer.lease.timeout.ToTimedelta().total_seconds()
        return answer.lease.quota_lease_id

    def _release(self, slot: str) -> None:
        if slot != _ALONE:
            self._free.append(slot)
            asyncio.get_running_loop().call_later(KEPT_SECONDS, self._return, slot)

    def _return(self, slot: str) -> None:
        if slot in self._free and self._lender is not None:
            self._free.remove(slot)
            request = ReturnQuotaRequest(quota_lease_id=slot, unused_units=1)
            self._lender.tell(self._lender.stub.ReturnQuota, request)

    def _keep_renewing(self, lender: Lender) -> None:
        if self._renewing is None and self._life_seconds:
            self._renewing = asyncio.create_task(self._renew_while_used(lender))

    async def _renew_while_used(self, lender: Lender) -> None:
        try:
            while True:
                await asyncio.sleep(self._life_seconds / RENEWALS_A_LIFE)
                held = [slot for slot in (*self._used, *self._free) if slot != _ALONE]
                if not held:
                    return
                await lender.ask(lender.stub.RenewQuotas, RenewQuotasRequest(quota_lease_ids=held))
        finally:
            self._renewing = None
