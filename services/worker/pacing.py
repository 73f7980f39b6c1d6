"""Slowing down when somebody asks: a short wait in place, a long one as a workflow timer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import grpc

from services.common.errors import from_rpc

WAIT_IN_PLACE_MAX = timedelta(seconds=5)
WAITS_IN_PLACE_MAX = 3
WAIT_UNSAID = timedelta(seconds=30)
"""How long to wait when nobody said."""
RATE_LIMITS = frozenset({"MODEL_RATE_LIMITED", "VENDOR_RATE_LIMITED", "OVERLOADED", "BUDGET_HELD"})
ResultT = TypeVar("ResultT")


class RateLimited(Exception):
    """The wait is too long to hold a worker's slot for; come back after `delay`."""

    def __init__(self, delay: timedelta) -> None:
        super().__init__(str(delay))
        self.delay = delay


async def paced(call: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Make a call, with at most WAITS_IN_PLACE_MAX short waits. Raises RateLimited for more; ServiceError."""
    for _ in range(WAITS_IN_PLACE_MAX):
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            failure = from_rpc(error)
        if failure.reason not in RATE_LIMITS:
            raise failure
        delay = failure.retry_after or WAIT_UNSAID
        if delay > WAIT_IN_PLACE_MAX:
            raise RateLimited(delay)
        await asyncio.sleep(delay.total_seconds())
    raise RateLimited(WAIT_UNSAID)
