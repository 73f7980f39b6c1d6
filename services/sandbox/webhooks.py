"""One attempt at delivering a webhook, and the log of attempts. When to try and how to sign is the vendor's.

A `Letter` is what a vendor wants delivered; a `Delivery` is what became of one attempt.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

DELIVERIES_MAX = 1_000
"""Attempts kept; the oldest are forgotten first."""
PENDING_MAX = 1_000
"""Attempts under way in the background; more are lost, as a vendor's webhook may be."""
RESPONSE_BYTES_MAX = 4_096
DRAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Letter:
    """`guid` is the vendor's name for the notification, the same in each redelivery."""

    vendor: str
    guid: str
    event: str
    action: str | None
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    redelivery: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """`status_code` is 0 when nothing answered; `problem` then says what happened."""

    id: int
    letter: Letter
    delivered_at: datetime
    duration_seconds: float
    status_code: int
    problem: str
    response_body: str

    @property
    def ok(self) -> bool:
        """Whether the receiver took it."""
        return 200 <= self.status_code < 300


class Courier:
    """Delivers letters, one attempt each, and remembers how it went."""

    def __init__(self, clock: Callable[[], datetime], *, first_id: int, timeout_seconds: float) -> None:
        self._clock = clock
        self._ids = itertools.count(first_id)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._log: deque[Delivery] = deque(maxlen=DELIVERIES_MAX)
        self._pending: set[asyncio.Task[object]] = set()
        self._http: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Deliveries can be made within; those still under way at the end get DRAIN_SECONDS."""
        async with aiohttp.ClientSession(timeout=self._timeout) as self._http:
            yield
            if self._pending:
                _, late = await asyncio.wait(self._pending, timeout=DRAIN_SECONDS)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)

    def log(self) -> list[Delivery]:
        """Newest first."""
        return list(reversed(self._log))

    def find(self, delivery_id: int) -> Delivery | None:
        """None if there is none, or it is forgotten."""
        return next((delivery for delivery in self._log if delivery.id == delivery_id), None)

    def deliver_later(self, letter: Letter) -> None:
        """Deliver in the background, in no promised order: vendors promise none."""
        self.later(self.deliver(letter))

    def later(self, work: Coroutine[object, object, object]) -> None:
        """Do something in the background, a vendor's retries for example; beyond PENDING_MAX it is lost."""
        if len(self._pending) >= PENDING_MAX:
            work.close()
            return
        task = asyncio.create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def deliver(self, letter: Letter) -> Delivery:
        """One attempt; redirects are not followed. Never raises for what the receiver does."""
        number, when, started = next(self._ids), self._clock(), time.monotonic()
        code, problem, answer = await self._post(letter)
        seconds = round(time.monotonic() - started, 3)
        delivery = Delivery(number, letter, when, seconds, code, problem, answer)
        self._log.append(delivery)
        return delivery

    async def _post(self, letter: Letter) -> tuple[int, str, str]:
        if self._http is None:
            raise RuntimeError("the courier is not running")
        request = self._http.post(letter.url, data=letter.body, headers=letter.headers, allow_redirects=False)
        try:
            async with request as response:
                answer = await response.content.read(RESPONSE_BYTES_MAX)
                return response.status, "", answer.decode(errors="replace")
        except TimeoutError:
            return 0, "timed out", ""
        except (aiohttp.ClientError, ValueError):  # ValueError: a URL that is none
            return 0, "failed to connect to host", ""
