"""Astra as the one who lends: one request at a time, and no request while it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import structlog

if TYPE_CHECKING:
    from aucert.astra.v1.quota_service_pb2_grpc import QuotaServiceAsyncStub

TIMEOUT_SECONDS = 2.0
AWAY_SECONDS = 5.0
"""How long nothing is asked after a request that failed."""
FAIR_SHARE = 4
"""While Astra is away each process keeps to this part of a limit, as if there were so many of them."""
AnswerT = TypeVar("AnswerT")
log = structlog.get_logger()


class Lender:
    """Sends requests as the service itself, whoever the work at hand is for: a limit has no tenant."""

    def __init__(self, stub: QuotaServiceAsyncStub, now: Callable[[], float]) -> None:
        self.stub = stub
        self._now = now
        self._away_until = 0.0
        self._background: set[asyncio.Task[Any]] = set()

    async def ask(self, method: Callable[..., Awaitable[AnswerT]], request: Any) -> AnswerT | None:
        """What Astra answers; None while it is away, or refuses to lend at all."""
        if self._now() < self._away_until:
            return None
        try:
            answer = await _by_ourselves(_sent(method, request))
        except grpc.aio.AioRpcError as error:
            if not self._away_until:
                log.warning("quotas_not_shared", code=error.code().name)
            self._away_until = self._now() + AWAY_SECONDS
            return None
        if self._away_until:
            log.info("quotas_shared_again")
            self._away_until = 0.0
        return answer

    def tell(self, method: Callable[..., Awaitable[object]], request: Any) -> None:
        """Send something whose answer nobody needs, and that may fail: leases end by themselves."""
        task = _by_ourselves(self.ask(method, request))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def told(self) -> None:
        """Wait for what was told."""
        await asyncio.gather(*self._background, return_exceptions=True)


async def _sent(method: Callable[..., Awaitable[AnswerT]], request: Any) -> AnswerT:
    return await method(request, timeout=TIMEOUT_SECONDS)


def _by_ourselves(work: Coroutine[Any, Any, AnswerT]) -> asyncio.Task[AnswerT]:
    """A task that carries neither the caller's tenant nor its run and deadline."""
    return asyncio.create_task(work, context=Context())
