"""Reads, at start-up and every few minutes, what webhooks may have failed to tell, container by container.

For every tenant that has containers; the vendors' credentials are the installation's. A vendor that keeps a
log of its deliveries is asked as well to send again what failed, once for the installation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc
import structlog

from services.common.caller import acting_for
from services.common.errors import Exhausted, ServiceError, Unavailable, from_rpc
from services.dispatcher import metrics
from services.dispatcher.container_reader import ContainerBusy, ContainerReader
from services.dispatcher.delivery_log import DeliveryLogReader
from services.dispatcher.ingest import TENANT_DEFAULT
from services.dispatcher.registry import Registry
from services.dispatcher.tenants import Tenants

INTERVAL_SECONDS = 300.0
AGAIN = timedelta(seconds=15)
"""When to try again after somebody we need was away, unless they say themselves."""
READS_AT_ONCE = 4

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look. `container` empty: in the source's log of deliveries."""

    tenant_id: str
    source: str
    container: str = ""


class CatchUp:
    """`names`: the sources that are on and can be caught up; `logged`: those of them that keep a log.

    `wake` has the inbox looked at.
    """

    def __init__(
        self,
        *,
        reader: ContainerReader,
        logs: DeliveryLogReader,
        registry: Registry,
        tenants: Tenants,
        names: Sequence[str],
        logged: Sequence[str],
        wake: Callable[[], None],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._reader = reader
        self._logs = logs
        self._registry = registry
        self._tenants = tenants
        self._names = names
        self._logged = logged
        self._wake = wake
        self._interval_seconds = interval_seconds

    async def forever(self) -> None:
        """Catch up until cancelled. What was away is tried again sooner, and it alone."""
        clock = asyncio.get_running_loop().time
        again_seconds = min(AGAIN.total_seconds(), self._interval_seconds)
        while True:
            following = clock() + self._interval_seconds
            try:
                away = await self.once()
            except Exception as error:  # noqa: BLE001 - the loop outlives whatever is away
                log.warning("catch_up_failed", reason=_known(error).reason)
                following, away = clock() + again_seconds, {}
            while away and (earliest := min(away.values())) < following:
                await asyncio.sleep(max(0.0, earliest - clock()))
                due = [place for place, time in away.items() if time <= earliest]
                away = {place: time for place, time in away.items() if time > earliest} | await self.read(due)
            await asyncio.sleep(max(0.0, following - clock()))

    async def once(self) -> dict[Place, float]:
        """Look everywhere once. Returns what was away, with the time of the loop it is worth another try."""
        return await self.read(await self._places())

    async def read(self, places: Sequence[Place]) -> dict[Place, float]:
        """Look in these places, a few at once. Returns as `once`."""
        at_once = asyncio.Semaphore(READS_AT_ONCE)

        async def one(place: Place) -> timedelta | None:
            async with at_once:
                return await self._read(place)

        delays = await asyncio.gather(*map(one, places))
        now = asyncio.get_running_loop().time()
        found = zip(places, delays, strict=True)
        return {place: now + delay.total_seconds() for place, delay in found if delay is not None}

    async def _places(self) -> list[Place]:
        default = await self._tenants.id_of(TENANT_DEFAULT) if self._logged else ""
        found = [Place(default, source) for source in self._logged]
        for tenant_id in await self._tenants.all() if self._names else ():
            with acting_for(tenant_id):
                for source in self._names:
                    containers = await self._registry.containers(source)
                    found += [Place(tenant_id, source, each) for each in containers]
        return found

    async def _read(self, place: Place) -> timedelta | None:
        """Look in one place. None: done, or refused until the next pass; else when to try again."""
        try:
            with acting_for(place.tenant_id):
                if place.container:
                    await self._reader.read(place.tenant_id, place.source, place.container)
                else:
                    await self._logs.retry(place.tenant_id, place.source)
        except ContainerBusy:
            return None
        except Exception as error:  # noqa: BLE001 - its trouble is not its neighbours'
            known = _known(error)
            metrics.NOT_CAUGHT_UP.labels(place.source, known.reason).inc()
            is_away = isinstance(known, Unavailable | Exhausted)
            told = "catch_up_failed" if is_away else "catch_up_refused"
            log.warning(told, source=place.source, container=place.container, reason=known.reason)
            return max(known.retry_after or AGAIN, AGAIN) if is_away else None
        self._wake()
        return None


def _known(error: Exception) -> ServiceError:
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc(error)
    return error if isinstance(error, ServiceError) else ServiceError(type(error).__name__)
