"""Verifies deliveries and commits the genuine ones to the inbox; only then is a 2xx given.

The signature is checked before anything is asked of anybody, so strangers cost one hash.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

import grpc
import structlog

from aucert.dispatcher.v1.delivery_pb2 import Delivery, IngestResult
from services.common.crashpoints import CrashPoint, reach
from services.common.errors import from_rpc
from services.dispatcher.domain import NewDelivery
from services.dispatcher.inbox_store import InboxStore
from services.dispatcher.refusals import RefusalCounts
from services.dispatcher.relay import Relay
from services.dispatcher.sources.source import Answered, Genuine, Refused, Source
from services.dispatcher.tenants import Tenants

TENANT_DEFAULT = "default"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Admitted:
    """A genuine delivery and whose it is."""

    tenant_id: str
    delivery: NewDelivery


class Ingest:
    """Keeps webhooks of the sources that are on."""

    def __init__(
        self,
        inbox: InboxStore,
        tenants: Tenants,
        relay: Relay,
        sources: Mapping[str, Source],
        refusals: RefusalCounts,
    ) -> None:
        self._inbox = inbox
        self._tenants = tenants
        self._relay = relay
        self._sources = sources
        self._refusals = refusals

    async def take(self, deliveries: Sequence[Delivery]) -> list[IngestResult]:
        """One verdict each, in order. Raises DatabaseUnavailable: then none may be taken for kept."""
        with self._relay.making_way(len(deliveries)):
            verdicts = [await self._admit(each) for each in deliveries]
            kept_ids = await self._keep([each for each in verdicts if isinstance(each, Admitted)])
        return [
            _accepted(kept_ids[each.delivery.id]) if isinstance(each, Admitted) else each for each in verdicts
        ]

    async def _keep(self, admitted: Sequence[Admitted]) -> Mapping[str, str]:
        """Commit, one transaction a tenant; maps each delivery to the id it, or its first, was kept under."""
        by_tenant: dict[str, list[NewDelivery]] = {}
        for each in admitted:
            by_tenant.setdefault(each.tenant_id, []).append(each.delivery)
        kept_ids: dict[str, str] = {}
        for tenant_id, deliveries in by_tenant.items():
            kept = await self._inbox.keep(tenant_id, deliveries)
            kept_ids |= {new.id: old.id for new, old in zip(deliveries, kept, strict=True)}
        if kept_ids:
            reach(CrashPoint.INBOX_COMMITTED)
            self._relay.wake()
        return kept_ids

    async def _admit(self, delivery: Delivery) -> Admitted | IngestResult:
        headers = {each.name.lower(): each.value for each in delivery.headers}
        try:
            verdict = await self._check(delivery, headers)
        except Exception as error:  # a delivery nobody foresaw must not cost its neighbours in the batch
            log.error("delivery_not_read", source=delivery.source, exc_info=error)
            verdict = _NOT_READ
        if isinstance(verdict, Answered):
            return _answered(verdict)
        if isinstance(verdict, NewDelivery):
            tenant_id = await self._tenant(delivery.tenant or TENANT_DEFAULT)
            if tenant_id is not None:
                return Admitted(tenant_id, verdict)
            verdict = Refused(HTTPStatus.NOT_FOUND, "TENANT_NOT_FOUND", "No tenant has this name.")
        known = delivery.source in self._sources  # names must not grow with what strangers send
        self._refusals.count(delivery.source if known else "unknown", verdict.reason)
        log.info("delivery_refused", source=delivery.source, reason=verdict.reason)
        return _problem(verdict)

    async def _check(
        self, delivery: Delivery, headers: Mapping[str, str]
    ) -> NewDelivery | Answered | Refused:
        """The delivery as it is to be kept, or what is answered instead."""
        source = self._sources.get(delivery.source)
        if source is None:
            return Refused(HTTPStatus.NOT_FOUND, "SOURCE_UNKNOWN", "No source has this name.")
        state, now = source.state, datetime.now(UTC)
        if not state.on:
            detail = f"{state.title} is off here: {state.off_reason}."
            return Refused(HTTPStatus.NOT_FOUND, "SOURCE_OFF", detail)
        verdict = await source.admit(headers, delivery.body, now=now)
        if not isinstance(verdict, Genuine):
            return verdict
        told = delivery.HasField("received_time")
        return NewDelivery(
            source=state.name,
            external_id=verdict.external_id,
            order_key=verdict.order_key,
            headers=verdict.headers,
            body=delivery.body,
            received_time=delivery.received_time.ToDatetime(UTC) if told else now,
        )

    async def _tenant(self, slug: str) -> str | None:
        try:
            return await self._tenants.id_of(slug)
        except grpc.aio.AioRpcError as error:
            if from_rpc(error).reason == "TENANT_NOT_FOUND":
                return None
            raise


_NOT_READ = Refused(
    HTTPStatus.BAD_REQUEST, "DELIVERY_NOT_READ", "This delivery could not be read; the log here says why."
)


def _accepted(delivery_id: str) -> IngestResult:
    return IngestResult(
        http_status=HTTPStatus.ACCEPTED,
        content_type="application/json",
        body=json.dumps({"delivery_id": delivery_id}).encode(),
        delivery_id=delivery_id,
    )


def _answered(answer: Answered) -> IngestResult:
    return IngestResult(http_status=HTTPStatus.OK, content_type=answer.content_type, body=answer.body)


def _problem(refused: Refused) -> IngestResult:
    problem = {
        "type": "about:blank",
        "title": refused.status.phrase,
        "status": refused.status.value,
        "detail": refused.detail,
        "reason": refused.reason,
    }
    return IngestResult(
        http_status=refused.status, content_type="application/problem+json", body=json.dumps(problem).encode()
    )
