"""One windowed limit as this process uses it: leases of several units, so that most calls ask nobody.

What a lease asks for follows from what the one before was used for: twice that. A lease that ends with units
left gives them back. While Astra is away a fair share of the limit is used instead.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from aucert.astra.v1.quota_service_pb2 import LeaseQuotaRequest, LeaseQuotaResponse, ReturnQuotaRequest
from services.common.quotas.lender import FAIR_SHARE, Lender
from services.common.quotas.limits import Limit, QuotaExceeded

LEASES_MAX = 4
"""Leases of one limit held here; beyond it the oldest goes back."""
ASK_AHEAD_FROM_USES = 4
"""A lease that served so many is in demand: the next is asked for before it is needed."""
ASK_AHEAD_PART = 4
"""Ask ahead when this part of a lease is left."""
DENIED_SECONDS = 1.0
"""How long a denial is believed without asking again: others may return what they do not use."""


@dataclass(slots=True, eq=False)
class Lease:
    """What this process may use; `lease_id` empty: of a limit that only tells of blocks."""

    lease_id: str
    granted: int
    left: int
    until: float
    uses: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """Units that were taken for one use."""

    meter: Meter
    lease: Lease | None

    def give_back(self, units: int) -> None:
        """Give back so many of them, which were not used after all."""
        if self.lease is not None and units > 0:
            self.meter.give_back(self.lease, units)


@dataclass(frozen=True, slots=True)
class _Denial:
    units: int
    believed_until: float
    frees: float


class Meter:
    """Counts the uses of one key. `now`: monotonic seconds."""

    def __init__(self, key: str, lender: Lender | None, now: Callable[[], float]) -> None:
        self._key = key
        self._lender = lender
        self._now = now
        self._leases: list[Lease] = []
        self._denial: _Denial | None = None
        self._blocked_until = 0.0
        self._asking = asyncio.Lock()
        self._ahead: asyncio.Task[None] | None = None
        self._used, self._used_until = 0, 0.0
        self._share_left, self._share_until = 0, 0.0

    async def take(self, limit: Limit, units: int) -> Taken:
        """Take units, at most the whole limit. Raises QuotaExceeded; never waits for units."""
        self._refuse_blocked()
        if self._lender is None:
            return Taken(self, None)
        units = min(units, limit.units) if limit.units else units
        lease = self._from_lease(units)
        if lease is None:
            async with self._asking:  # whoever waited here finds what the one before was granted
                lease = self._from_lease(units)
                if lease is None:
                    await self._ask(self._lender, limit, units)
                    lease = self._from_lease(units) or self._from_share(limit, units)
        else:
            self._ask_ahead(self._lender, limit, lease)
        return Taken(self, lease)

    def block(self, seconds: float) -> None:
        """Let nothing through for so long."""
        self._blocked_until = max(self._blocked_until, self._now() + seconds)

    def give_back(self, lease: Lease, units: int) -> None:
        """Put units back into a lease, or return them if it has ended."""
        if lease in self._leases and self._now() < lease.until:
            lease.left = min(lease.left + units, lease.granted)
        else:
            self._return(lease, units)

    def close(self) -> None:
        """Return what is left."""
        if self._ahead is not None:
            self._ahead.cancel()
        while self._leases:
            self._end(self._leases[0])

    def _refuse_blocked(self) -> None:
        if (left := self._blocked_until - self._now()) > 0:
            raise QuotaExceeded(self._key, timedelta(seconds=left))

    def _from_lease(self, units: int) -> Lease | None:
        now = self._now()
        for lease in self._leases:
            if lease.left >= units and now < lease.until:
                if lease.lease_id:
                    lease.left -= units
                lease.uses += 1
                self._used, self._used_until = max(units, lease.granted - lease.left), lease.until
                return lease
        return None

    async def _ask(self, lender: Lender, limit: Limit, units: int) -> None:
        """Ask for a lease. Raises QuotaExceeded; returns without one while Astra is away."""
        self._refuse_blocked()
        asked = self._now()
        if self._denial and units >= self._denial.units and asked < self._denial.believed_until:
            raise QuotaExceeded(self._key, timedelta(seconds=self._denial.frees - asked))
        window = Duration()
        window.FromTimedelta(limit.window)
        request = LeaseQuotaRequest(
            key=self._key,
            limit_units=limit.units,
            window=window,
            needed_units=units,
            wanted_units=max(units, 2 * self._used if asked < self._used_until else 0),
        )
        answer: LeaseQuotaResponse | None = await lender.ask(lender.stub.LeaseQuota, request)
        if answer is None:
            return
        if answer.HasField("lease"):
            self._hold(answer, asked)
            return
        retry_after = answer.retry_after.ToTimedelta().total_seconds()
        if answer.blocked:
            self.block(retry_after)
            self._refuse_blocked()
        frees = self._now() + retry_after
        self._denial = _Denial(units, min(frees, self._now() + DENIED_SECONDS), frees)
        raise QuotaExceeded(self._key, timedelta(seconds=retry_after))

    def _hold(self, answer: LeaseQuotaResponse, asked: float) -> None:
        life = answer.lease.timeout.ToTimedelta().total_seconds()
        lease_id = answer.lease.quota_lease_id
        units = answer.lease.units if lease_id else sys.maxsize
        lease = Lease(lease_id, units, units, asked + life)
        self._denial = None
        self._leases.append(lease)
        if len(self._leases) > LEASES_MAX:
            self._end(self._leases[0])
        asyncio.get_running_loop().call_later(max(0.0, lease.until - self._now()), self._end, lease)

    def _ask_ahead(self, lender: Lender, limit: Limit, lease: Lease) -> None:
        in_demand = lease.uses >= ASK_AHEAD_FROM_USES and lease is self._leases[-1]
        if in_demand and lease.left * ASK_AHEAD_PART <= lease.granted and self._ahead is None:
            self._ahead = asyncio.create_task(self._asked_ahead(lender, limit))

    async def _asked_ahead(self, lender: Lender, limit: Limit) -> None:
        try:
            async with self._asking:
                await self._ask(lender, limit, 1)
        except QuotaExceeded:
            pass  # whoever needs it next is told
        finally:
            self._ahead = None

    def _from_share(self, limit: Limit, units: int) -> None:
        """Use the fair share of a process that cannot ask. Raises QuotaExceeded when that is used up."""
        if not limit.units:
            return
        now = self._now()
        if now >= self._share_until:
            self._share_left = max(1, limit.units // FAIR_SHARE)
            self._share_until = now + limit.window.total_seconds()
        elif self._share_left <= 0:
            raise QuotaExceeded(self._key, timedelta(seconds=self._share_until - now))
        self._share_left -= units

    def _end(self, lease: Lease) -> None:
        if lease in self._leases:
            self._leases.remove(lease)
            self._return(lease, lease.left)

    def _return(self, lease: Lease, units: int) -> None:
        if self._lender is not None and lease.lease_id and units > 0:
            request = ReturnQuotaRequest(quota_lease_id=lease.lease_id, unused_units=units)
            self._lender.tell(self._lender.stub.ReturnQuota, request)
