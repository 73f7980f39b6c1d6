"""Reads, at start-up and every few minutes, what webhooks may have failed to tell, container by container.

The vendors' credentials are the installation's, so catch-up works for the default tenant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import grpc
import structlog

from services.common.caller import acting_for
from services.common.errors import ServiceError, from_rpc
from services.dispatcher.container_reader import ContainerBusy, ContainerReader
from services.dispatcher.ingest import TENANT_DEFAULT
from services.dispatcher.registry import Registry
from services.dispatcher.tenants import Tenants

INTERVAL_SECONDS = 300.0
AGAIN_SECONDS = 15.0
"""When to try again after somebody we need was away."""

log = structlog.get_logger()


class CatchUp:
    """`names`: the sources that are on and can be caught up. `wake` has the inbox looked at."""

    def __init__(
        self,
        *,
        reader: ContainerReader,
        registry: Registry,
        tenants: Tenants,
        names: Sequence[str],
        wake: Callable[[], None],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._reader = reader
        self._registry = registry
        self._tenants = tenants
        self._names = names
        self._wake = wake
        self._interval_seconds = interval_seconds

    async def forever(self) -> None:
        """Catch up until cancelled; what fails is repeated sooner."""
        while True:
            whole = await self.once()
            await asyncio.sleep(
                self._interval_seconds if whole else min(AGAIN_SECONDS, self._interval_seconds)
            )

    async def once(self) -> bool:
        """Read every container once. False: something was away and is worth another try soon."""
        whole = True
        try:
            tenant_id = await self._tenants.id_of(TENANT_DEFAULT)
            with acting_for(tenant_id):
                for source in self._names:
                    for container in await self._registry.containers(source):
                        whole &= await self._read(tenant_id, source, container)
        except Exception as error:  # noqa: BLE001 - the loop outlives whatever is away
            log.warning("catch_up_failed", reason=_reason(error))
            return False
        return whole

    async def _read(self, tenant_id: str, source: str, container: str) -> bool:
        """One container; its trouble is not its neighbours'."""
        try:
            await self._reader.read(tenant_id, source, container)
        except ContainerBusy:
            return True
        except (grpc.aio.AioRpcError, ServiceError) as error:
            log.warning("catch_up_failed", container=container, reason=_reason(error))
            return False
        self._wake()
        return True


def _reason(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return from_rpc(error).reason
    return str(getattr(error, "reason", type(error).__name__))
