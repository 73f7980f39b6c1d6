"""BudgetService."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from aucert.astra.v1 import budget_service_pb2 as pb
from aucert.astra.v1.budget_pb2 import CAP_KIND_RUN, CAP_KIND_TENANT_MONTH, UsageRow
from aucert.astra.v1.budget_service_pb2_grpc import BudgetServiceServicer
from services.astra import convert
from services.astra.budget_store import BudgetStore
from services.astra.pages import key_of, page_size, token_after
from services.astra.spend import SpendStore
from services.astra.usage_store import UsageStore
from services.common.caller import current_caller
from services.common.errors import FieldInvalid

if TYPE_CHECKING:
    from services.common.door import Context

CAPS_A_PAGE, CAPS_A_PAGE_MAX = 50, 200
REPORT_DAYS_MAX = 366
REPORT_ROWS_MAX = 10_000
_CAPS = "caps"


class BudgetServicer(BudgetServiceServicer):
    """Money set aside before it is spent, the caps on it, and what became of it."""

    def __init__(self, spend: SpendStore, budgets: BudgetStore, usage: UsageStore) -> None:
        self._spend = spend
        self._budgets = budgets
        self._usage = usage

    async def ReserveSpend(
        self, request: pb.ReserveSpendRequest, context: Context
    ) -> pb.ReserveSpendResponse:
        """Set aside the worst case of the next model call."""
        del context
        reservation = await self._spend.reserve(
            current_caller().tenant_id,
            request.task_run_id,
            request.fence,
            model_alias=request.model_alias,
            usd_micros=request.reserved_usd_micros,
        )
        return pb.ReserveSpendResponse(reservation=reservation)

    async def ReleaseSpend(
        self, request: pb.ReleaseSpendRequest, context: Context
    ) -> pb.ReleaseSpendResponse:
        """Free what was set aside for a call that no provider took."""
        del context
        await self._spend.release(
            current_caller().tenant_id, request.task_run_id, request.fence, request.spend_reservation_id
        )
        return pb.ReleaseSpendResponse()

    async def SetCap(self, request: pb.SetCapRequest, context: Context) -> pb.SetCapResponse:
        """Set a cap."""
        del context
        if request.agent_slug and request.kind == CAP_KIND_TENANT_MONTH:
            raise FieldInvalid([("agent_slug", "must be empty: the cap is for all agents together")])
        if request.task_run_id and (request.kind != CAP_KIND_RUN or request.agent_slug):
            raise FieldInvalid([("task_run_id", "goes with kind RUN and without an agent")])
        caller = current_caller()
        name = caller.principal.name if caller.principal else ""
        return await self._budgets.set_cap(caller.tenant_id, request, name)

    async def RaiseCaps(self, request: pb.RaiseCapsRequest, context: Context) -> pb.RaiseCapsResponse:
        """Let a thread's waiting runs spend more."""
        del context
        return await self._budgets.raise_caps(current_caller().tenant_id, request)

    async def ListCaps(self, request: pb.ListCapsRequest, context: Context) -> pb.ListCapsResponse:
        """List the caps."""
        del context
        limit = page_size(request.page_size, usual=CAPS_A_PAGE, most=CAPS_A_PAGE_MAX)
        key = key_of(request.page_token, _CAPS, datetime.fromisoformat, str, uuid.UUID)
        found = await self._budgets.page(
            current_caller().tenant_id,
            limit=limit + 1,
            before=None if key is None else (key[0], key[1], str(key[2])),
        )
        response = pb.ListCapsResponse(caps=[cap for _, cap in found[:limit]])
        if len(found) > limit:
            set_time, kind, subject_id = found[limit - 1][0]
            response.next_page_token = token_after(_CAPS, set_time.isoformat(), kind, subject_id)
        return response

    async def GetUsageReport(
        self, request: pb.GetUsageReportRequest, context: Context
    ) -> pb.GetUsageReportResponse:
        """Sum up what was used."""
        del context
        first, last = _period(request)
        by = {convert.USAGE_DIMENSION.word(each) for each in request.group_by}
        tenant_id = current_caller().tenant_id
        rows = await self._usage.report(tenant_id, first, last, by, limit=REPORT_ROWS_MAX + 1)
        if len(rows) > REPORT_ROWS_MAX:
            raise FieldInvalid([("group_by", f"gives more than {REPORT_ROWS_MAX} rows: ask for fewer days")])
        total = await self._usage.report(tenant_id, first, last, (), limit=1)
        return pb.GetUsageReportResponse(
            rows=rows if by else (),
            total=total[0] if total else UsageRow(),
            first_day=first.isoformat(),
            last_day=last.isoformat(),
        )


def _period(request: pb.GetUsageReportRequest) -> tuple[date, date]:
    last = _day("last_day", request.last_day) if request.last_day else datetime.now(UTC).date()
    first = _day("first_day", request.first_day) if request.first_day else last.replace(day=1)
    if not timedelta(0) <= last - first <= timedelta(days=REPORT_DAYS_MAX):
        raise FieldInvalid([("first_day", f"must be at most {REPORT_DAYS_MAX} days before last_day")])
    return first, last


def _day(field: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise FieldInvalid([(field, "must be a day of the calendar, as in 2026-11-23")]) from None
