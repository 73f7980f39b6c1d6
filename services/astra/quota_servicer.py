"""QuotaService."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from aucert.astra.v1 import quota_service_pb2 as pb
from aucert.astra.v1.quota_pb2 import Quota, QuotaLease
from aucert.astra.v1.quota_service_pb2_grpc import QuotaServiceServicer
from services.astra.convert import timestamp
from services.astra.pages import key_of, page_size, token_after
from services.astra.quota_store import Granted, QuotaState, QuotaStore, Wish

if TYPE_CHECKING:
    from services.common.door import Context

QUOTAS_A_PAGE, QUOTAS_A_PAGE_MAX = 50, 200
_QUOTAS = "quotas"


class QuotaServicer(QuotaServiceServicer):
    """Limits that all processes share."""

    def __init__(self, quotas: QuotaStore) -> None:
        self._quotas = quotas

    async def LeaseQuota(self, request: pb.LeaseQuotaRequest, context: Context) -> pb.LeaseQuotaResponse:
        """Lease a part of what is left of a limit."""
        del context
        wish = Wish(
            key=request.key,
            limit_units=request.limit_units,
            window=request.window.ToTimedelta(),
            needed_units=request.needed_units,
            wanted_units=max(request.wanted_units, request.needed_units),
        )
        answer = await self._quotas.lease(wish)
        if isinstance(answer, Granted):
            lease = QuotaLease(
                quota_lease_id=answer.lease_id, units=answer.units, timeout=_duration(answer.life)
            )
            return pb.LeaseQuotaResponse(lease=lease)
        return pb.LeaseQuotaResponse(retry_after=_duration(answer.retry_after), blocked=answer.blocked)

    async def RenewQuotas(self, request: pb.RenewQuotasRequest, context: Context) -> pb.RenewQuotasResponse:
        """Hold leases of what is used at the same time for longer."""
        del context
        return pb.RenewQuotasResponse(quota_lease_ids=await self._quotas.renew(request.quota_lease_ids))

    async def ReturnQuota(self, request: pb.ReturnQuotaRequest, context: Context) -> pb.ReturnQuotaResponse:
        """Give back what was leased and not used."""
        del context
        await self._quotas.give_back(request.quota_lease_id, request.unused_units)
        return pb.ReturnQuotaResponse()

    async def BlockQuota(self, request: pb.BlockQuotaRequest, context: Context) -> pb.BlockQuotaResponse:
        """Lease nothing of a key for a while."""
        del context
        await self._quotas.block(request.key, request.timeout.ToTimedelta())
        return pb.BlockQuotaResponse()

    async def ListQuotas(self, request: pb.ListQuotasRequest, context: Context) -> pb.ListQuotasResponse:
        """List the limits of the installation."""
        del context
        size = page_size(request.page_size, usual=QUOTAS_A_PAGE, most=QUOTAS_A_PAGE_MAX)
        (after,) = key_of(request.page_token, _QUOTAS, str) or [""]
        found = await self._quotas.all(after=after, limit=size + 1)
        page = found[:size]
        token = token_after(_QUOTAS, page[-1].key) if len(found) > size else ""
        return pb.ListQuotasResponse(quotas=map(_quota, page), next_page_token=token)


def _quota(state: QuotaState) -> Quota:
    return Quota(
        key=state.key,
        limit_units=state.limit_units,
        window=_duration(state.window),
        taken_units=state.taken_units,
        blocked_until_time=None if state.blocked_until is None else timestamp(state.blocked_until),
        asked_time=timestamp(state.asked),
    )


def _duration(value: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(value)
    return duration
