"""What people ask of the inbox: what is in it, what a delivery held, and to handle one again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from aucert.common.v1.scope_pb2 import SCOPE_DELIVERIES_WRITE
from aucert.dispatcher.v1 import dispatcher_service_pb2 as pb
from services.common.caller import Caller
from services.dispatcher import convert
from services.dispatcher.delivery_store import DeliveryStore
from services.dispatcher.domain import DeliveryFilter
from services.dispatcher.errors import PageTokenInvalid
from services.dispatcher.refusals import RefusalStore

PAGE_SIZE, PAGE_SIZE_MAX = 50, 200
POSITION_MAX = 2**63 - 1
REFUSAL_DAYS = 7

log = structlog.get_logger()


class Deliveries:
    """Answers for the caller's tenant. `wake` has the inbox looked at."""

    def __init__(self, store: DeliveryStore, refusals: RefusalStore, wake: Callable[[], None]) -> None:
        self._store = store
        self._refusals = refusals
        self._wake = wake

    async def list(self, caller: Caller, request: pb.ListDeliveriesRequest) -> pb.ListDeliveriesResponse:
        """A page of the inbox. Raises PageTokenInvalid."""
        wanted = DeliveryFilter(
            source=request.source,
            status=convert.delivery_status(request.status),
            received_after=_time(request.received_after, given=request.HasField("received_after")),
            received_before=_time(request.received_before, given=request.HasField("received_before")),
        )
        size = min(request.page_size or PAGE_SIZE, PAGE_SIZE_MAX)
        found, following = await self._store.page(
            caller.tenant_id, wanted, before=_position(request.page_token), limit=size
        )
        return pb.ListDeliveriesResponse(
            deliveries=[convert.delivery(each) for each in found],
            next_page_token="" if following is None else str(following),
        )

    async def get(self, caller: Caller, delivery_id: str) -> pb.GetDeliveryResponse:
        """A delivery, and what it holds for those who may read it. Raises DeliveryNotFound."""
        state = await self._store.get(caller.tenant_id, delivery_id)
        shown = pb.GetDeliveryResponse(delivery=convert.delivery(state))
        if caller.principal and SCOPE_DELIVERIES_WRITE in caller.principal.scopes:
            content = await self._store.content(caller.tenant_id, delivery_id)
            shown.headers.extend(convert.shown_headers(content.headers))
            shown.body = content.body
        return shown

    async def redeliver(self, caller: Caller, delivery_id: str) -> pb.RedeliverWebhookResponse:
        """Have one handled again. Raises DeliveryNotFound and DeliveryDone."""
        asked_by = caller.principal.name if caller.principal else ""
        state = await self._store.reopen(caller.tenant_id, delivery_id, asked_by=asked_by)
        log.info("delivery_reopened", delivery_id=delivery_id, asked_by=asked_by)
        self._wake()
        return pb.RedeliverWebhookResponse(delivery=convert.delivery(state))

    async def refusals(self, days: int) -> pb.ListRefusalsResponse:
        """What was refused in so many days, today among them; 0: REFUSAL_DAYS."""
        first = datetime.now(UTC).date() - timedelta(days=(days or REFUSAL_DAYS) - 1)
        counted = await self._refusals.since(first)
        return pb.ListRefusalsResponse(refusals=[convert.refusals(each) for each in counted])


def _time(told: Timestamp, *, given: bool) -> datetime | None:
    return told.ToDatetime(UTC) if given else None


def _position(token: str) -> int | None:
    """Where a page begins. Raises PageTokenInvalid."""
    if not token:
        return None
    if not (token.isascii() and token.isdecimal() and int(token) <= POSITION_MAX):
        raise PageTokenInvalid
    return int(token)
