"""Drains the inbox: leases what is due, hands it to the handler, a bounded number at a time.

Any number of relays work side by side, in any number of processes. One is woken at once by what its own
process kept and looks every POLL_SECONDS for what others did.

When a process dies, all it handled are charged an attempt though one of them killed it. So a delivery
that is a suspect by now is handled with nothing beside it: what dies then dies of itself, and the innocent
get through long before they have no attempts left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog

from services.dispatcher.domain import LeasedDelivery
from services.dispatcher.handler import Handler
from services.dispatcher.inbox_store import InboxStore

CONCURRENCY_MAX = 16
POLL_SECONDS = 1.0
DRAIN_SECONDS = 5.0
CROWD_MIN = 8
CROWD_SECONDS = 0.05
"""After so many webhooks in one call, more are expected for so long."""
GIVE_WAY_STEPS_MAX = 10
"""Times CROWD_SECONDS: however many webhooks come, the inbox moves on twice a second."""

log = structlog.get_logger()


class Relay:
    """One relay. `wake` may be called from anywhere in its event loop."""

    def __init__(self, inbox: InboxStore, handler: Handler, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._inbox = inbox
        self._handler = handler
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._asked_for = 0  # handled at once beside these, and not counted among them
        self._stopping = False
        self._alone = False  # a suspect waits for the others to end, or is under way
        self._crowds = 0  # calls under way that each brought one
        self._crowd_until = float("-inf")
        self._suspects_looked_for = float("-inf")

    def wake(self) -> None:
        """Say that something new may be due."""
        self._woken.set()

    @contextmanager
    def making_way(self, webhooks: int) -> Iterator[None]:
        """While the block accepts so many webhooks, and for CROWD_SECONDS more, nothing is leased if they are
        a crowd. Their senders wait for an answer and give up after seconds; what follows of them can wait."""
        crowd = webhooks >= CROWD_MIN
        self._crowds += crowd
        try:
            yield
        finally:
            self._crowds -= crowd
            if crowd:
                self._crowd_until = asyncio.get_running_loop().time() + CROWD_SECONDS

    async def handle_now(self, delivery_id: str) -> None:
        """Handle one delivery before returning, if it is its turn; otherwise the loop gets to it."""
        if self._alone:
            return
        self._asked_for += 1
        try:
            for delivery in await self._inbox.lease(1, delivery_id=delivery_id):
                await self._handler.handle(delivery)
        finally:
            self._asked_for -= 1
            self.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Drain the inbox until the block is left; what is under way then gets DRAIN_SECONDS.

        What takes longer is given back, due at once.
        """
        loop = asyncio.create_task(self._forever())
        try:
            yield
        finally:
            self._stopping = True
            self.wake()
            await loop  # not cut: what it is leasing right now would be lost until the lease runs out
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=DRAIN_SECONDS)
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _forever(self) -> None:
        while not self._stopping:
            await self._give_way()
            self._woken.clear()
            free = CONCURRENCY_MAX - len(self._under_way)
            leased = await self._lease(free)
            for delivery in leased:
                self._begin(delivery)
            if free == 0 or len(leased) < free:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), self._poll_seconds)

    async def _give_way(self) -> None:
        for _ in range(GIVE_WAY_STEPS_MAX):
            if not self._crowds and asyncio.get_running_loop().time() >= self._crowd_until:
                return
            await asyncio.sleep(CROWD_SECONDS)

    async def _lease(self, limit: int) -> list[LeasedDelivery]:
        try:
            await self._look_for_suspects()
            if self._alone and not self._under_way and not self._asked_for:
                suspect = await self._inbox.lease_suspect()
                self._alone = bool(suspect)  # another relay may have been faster
                if suspect:
                    return suspect
            return await self._inbox.lease(limit) if limit and not self._alone else []
        except Exception as error:  # noqa: BLE001 - the loop outlives whatever is away; it looks again
            log.warning("lease_failed", reason=getattr(error, "reason", type(error).__name__))
            return []

    async def _look_for_suspects(self) -> None:
        """At most every POLL_SECONDS: a lease that ran out is in no hurry."""
        now = asyncio.get_running_loop().time()
        if not self._alone and now - self._suspects_looked_for >= self._poll_seconds:
            self._suspects_looked_for = now
            self._alone = await self._inbox.suspect_waits()

    def _begin(self, delivery: LeasedDelivery) -> None:
        task = asyncio.create_task(self._handler.handle(delivery))
        self._under_way.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.wake()  # the next of the same thread may be due now
