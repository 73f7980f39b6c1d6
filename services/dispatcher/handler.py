"""One delivery from the inbox to a woken workflow, each step on record before the next.

Every step repeats harmlessly: the event's key, the runs' ids and the workflow's id follow from what the
person did, so a delivery whose handler died anywhere is simply handled again.
"""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

import grpc
import structlog

from services.common.caller import acting_for
from services.common.crashpoints import CrashPoint, reach
from services.common.errors import Exhausted, Forbidden, ServiceError, Unauthenticated, Unavailable, from_rpc
from services.dispatcher import metrics
from services.dispatcher.acknowledgements import Acknowledgements
from services.dispatcher.classifier import Classifier
from services.dispatcher.domain import Bell, Event, Ignored, LeasedDelivery, ThreadEvent
from services.dispatcher.inbox_store import InboxStore
from services.dispatcher.ringer import Ringer
from services.dispatcher.runs import Runs
from services.dispatcher.tenants import Tenants
from services.dispatcher.thread_store import ThreadStore

HANDLING_SHARE = 5 / 6
"""Handling ends before the lease does, at this share of it, so that no two relays hold a delivery."""
ATTEMPTS_MAX = 8
BACKOFF_MAX = timedelta(seconds=60)
AWAY_RETRY_MIN = timedelta(milliseconds=500)
AWAY_RETRY_MAX = timedelta(seconds=15)

# Ours to mend, not the delivery's fault: such a failure never counts towards its end.
_NOT_ITS_FAULT = (Unavailable, Exhausted, Unauthenticated, Forbidden)

log = structlog.get_logger()


class Handler:
    """Handles leased deliveries; never raises for what goes wrong with one."""

    def __init__(
        self,
        *,
        inbox: InboxStore,
        threads: ThreadStore,
        tenants: Tenants,
        classifier: Classifier,
        runs: Runs,
        ringer: Ringer,
        acknowledgements: Acknowledgements,
    ) -> None:
        self._inbox = inbox
        self._threads = threads
        self._tenants = tenants
        self._classifier = classifier
        self._runs = runs
        self._ringer = ringer
        self._acknowledgements = acknowledgements

    async def handle(self, delivery: LeasedDelivery) -> None:
        """Bring a delivery to its end, or give it back with a time to try again."""
        reach(CrashPoint.DELIVERY_LEASED)
        with acting_for(delivery.tenant_id):
            try:
                if delivery.attempts >= ATTEMPTS_MAX:  # its handlers died with it
                    await self._bury(delivery, "HANDLER_DIED", delivery.attempts)
                    return
                async with asyncio.timeout(self._inbox.lease_seconds * HANDLING_SHARE):
                    await self._steps(delivery)
            except asyncio.CancelledError:  # we are being stopped: no fault of the delivery, and no death
                await asyncio.shield(self._let_go(delivery))
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the delivery goes back or to its end
                await self._give_back(delivery, error)

    async def _steps(self, delivery: LeasedDelivery) -> None:
        content = await self._inbox.content(delivery.tenant_id, delivery.id)
        found = await self._classifier.events(delivery, content)
        if isinstance(found, Ignored):
            await self._put_away(delivery, "ignored", reason=found.reason)
            return
        recorded: ThreadEvent | None = None
        for event in found:
            recorded = await self._dispatch(delivery, event)
        await self._put_away(delivery, "done", thread_event_id=recorded.id if recorded else None)
        for event in found:
            self._acknowledgements.soon(event)

    async def _dispatch(self, delivery: LeasedDelivery, event: Event) -> ThreadEvent:
        slug = await self._tenants.slug_of(delivery.tenant_id)
        recorded = await self._threads.record(delivery.tenant_id, slug, event, delivery_id=delivery.id)
        reach(CrashPoint.EVENT_WRITTEN)
        await self._runs.ensure(recorded)
        reach(CrashPoint.RUN_CREATED)
        await self._ringer.ring(Bell(recorded.tenant_id, recorded.thread_id, recorded.workflow_id))
        reach(CrashPoint.THREAD_RUNG)
        return recorded

    async def _put_away(
        self, delivery: LeasedDelivery, status: str, *, reason: str = "", thread_event_id: str | None = None
    ) -> None:
        await self._inbox.put_away(delivery, status, reason=reason, thread_event_id=thread_event_id)
        metrics.FINISHED.labels(delivery.source, status, reason).inc()
        log.info("delivery", delivery_id=delivery.id, source=delivery.source, status=status, reason=reason)

    async def _give_back(self, delivery: LeasedDelivery, error: Exception) -> None:
        known = _as_service_error(error)
        try:
            if isinstance(known, _NOT_ITS_FAULT):
                await self._retry(
                    delivery, known.reason, delay=_while_away(delivery), attempts=delivery.attempts
                )
                return
            attempts = delivery.attempts + 1
            log.error("delivery_failed", delivery_id=delivery.id, attempts=attempts, exc_info=error)
            if attempts >= ATTEMPTS_MAX:
                await self._bury(delivery, known.reason, attempts)
            else:
                await self._retry(delivery, known.reason, delay=_backoff(attempts), attempts=attempts)
        except Exception as lost:  # noqa: BLE001 - the lease runs out and another relay takes it up
            log.warning("delivery_left", delivery_id=delivery.id, reason=_as_service_error(lost).reason)

    async def _let_go(self, delivery: LeasedDelivery) -> None:
        try:
            await self._retry(delivery, "CUT", delay=timedelta(0), attempts=delivery.attempts)
        except Exception as lost:  # noqa: BLE001 - the lease runs out and another relay takes it up
            log.warning("delivery_left", delivery_id=delivery.id, reason=_as_service_error(lost).reason)

    async def _retry(self, delivery: LeasedDelivery, reason: str, *, delay: timedelta, attempts: int) -> None:
        await self._inbox.retry(delivery, delay=delay, attempts=attempts, reason=reason)
        metrics.RETRIED.labels(delivery.source, reason).inc()
        log.info(
            "delivery_retried",
            delivery_id=delivery.id,
            reason=reason,
            delay_ms=delay // timedelta(milliseconds=1),
        )

    async def _bury(self, delivery: LeasedDelivery, reason: str, attempts: int) -> None:
        await self._threads.give_up(delivery.tenant_id, delivery.id)
        await self._inbox.put_away(delivery, "dead", reason=reason, attempts=attempts)
        metrics.FINISHED.labels(delivery.source, "dead", reason).inc()
        log.error("delivery_dead", delivery_id=delivery.id, source=delivery.source, reason=reason)


def _as_service_error(error: Exception) -> ServiceError:
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc(error)
    if isinstance(error, TimeoutError):
        return Unavailable("Handling took too long.")
    return error if isinstance(error, ServiceError) else ServiceError("Something went wrong here.")


def _backoff(attempts: int) -> timedelta:
    """1, 2, 4 … seconds, at most BACKOFF_MAX, the later half of it random."""
    return min(BACKOFF_MAX, timedelta(seconds=2.0 ** (attempts - 1))) * random.uniform(0.5, 1)  # noqa: S311


def _while_away(delivery: LeasedDelivery) -> timedelta:
    """Longer the longer it has waited already, within AWAY_RETRY_MIN and AWAY_RETRY_MAX."""
    waited = datetime.now(UTC) - delivery.received_time
    return min(AWAY_RETRY_MAX, max(AWAY_RETRY_MIN, waited / 2)) * random.uniform(0.5, 1)  # noqa: S311
