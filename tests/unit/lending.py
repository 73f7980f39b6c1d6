"""An Astra that lends shared limits, in memory and with a clock of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import grpc
from google.protobuf.duration_pb2 import Duration

from aucert.astra.v1 import quota_service_pb2 as pb
from aucert.astra.v1.quota_pb2 import QuotaLease
from services.common.caller import caller_or_none

LIFE = 5


@dataclass
class Lending:
    """What all keys together may still take is `left`. `away`: it does not answer. `callers`: whom each
    request was made for."""

    left: int = 60
    now: float = 100.0
    away: bool = False
    blocked: int = 0
    leased: list[int] = field(default_factory=list[int])
    returned: list[int] = field(default_factory=list[int])
    asked: int = 0
    callers: list[object] = field(default_factory=list[object])
    life_ms: int = LIFE * 1_000
    was_returned: asyncio.Event = field(default_factory=asyncio.Event)
    was_renewed: asyncio.Event = field(default_factory=asyncio.Event)

    async def LeaseQuota(self, request: pb.LeaseQuotaRequest, **_: object) -> pb.LeaseQuotaResponse:
        self._reached()
        units = min(request.wanted_units or request.needed_units, self.left)
        if self.blocked or (request.limit_units and units < request.needed_units):
            return pb.LeaseQuotaResponse(
                retry_after=Duration(seconds=self.blocked or 30), blocked=bool(self.blocked)
            )
        lease_id = str(self.asked) if request.limit_units else ""
        self.left -= units
        self.leased.append(units)
        life = Duration()
        life.FromMilliseconds(self.life_ms)
        lease = QuotaLease(quota_lease_id=lease_id, units=units, timeout=life)
        return pb.LeaseQuotaResponse(lease=lease)

    async def ReturnQuota(self, request: pb.ReturnQuotaRequest, **_: object) -> pb.ReturnQuotaResponse:
        self._reached()
        self.left += request.unused_units
        self.returned.append(request.unused_units)
        self.was_returned.set()
        return pb.ReturnQuotaResponse()

    async def BlockQuota(self, request: pb.BlockQuotaRequest, **_: object) -> pb.BlockQuotaResponse:
        self._reached()
        self.blocked = request.timeout.seconds
        return pb.BlockQuotaResponse()

    async def RenewQuotas(self, request: pb.RenewQuotasRequest, **_: object) -> pb.RenewQuotasResponse:
        self._reached()
        self.was_renewed.set()
        return pb.RenewQuotasResponse(quota_lease_ids=request.quota_lease_ids)

    def _reached(self) -> None:
        self.asked += 1
        self.callers.append(caller_or_none())
        if self.away:
            none = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, none, none)
