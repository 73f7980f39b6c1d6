"""One attempt at delivering a webhook, and the log of attempts. When to try and how to sign is the vendor's.

A `Letter` is what a vendor wants delivered; a `Delivery` is what became of one attempt; a `Manner` is how
letters travel.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

DELIVERIES_MAX = 10_000
"""Attempts kept; the oldest are forgotten first."""
PENDING_MAX = 10_000
"""Attempts under way in the background; more are lost, as a vendor's webhook may be."""
RESPONSE_BYTES_MAX = 4_096
DRAIN_SECONDS = 1.0
COPIES_MAX = 10
SHUFFLE_SECONDS_MAX = 10.0
"""Below the time a caller of the admin API waits for the first attempts."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How letters travel; by itself, as the vendors send them.

    `copies`: how often each attempt arrives; the answer to the first is the one the vendor hears.
    `shuffle_seconds`: each copy leaves at a random moment within them, so letters overtake each other.
    `retry_scale`: a vendor's pauses before it tries again, times this. 1 is the vendor's own, minutes long;
    anything below is no vendor's habit, and is for tests that cannot wait.
    `seed`: of the random moments.
    """

    copies: int = 1
    shuffle_seconds: float = 0.0
    retry_scale: float = 1.0
    seed: int = 0


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
    response_headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

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
        self.travel(Manner())

    def travel(self, manner: Manner) -> None:
        """Have letters travel in this manner from now on."""
        self._manner = manner
        self._random = random.Random(manner.seed)  # noqa: S311 - it shuffles, it guards nothing

    async def pause(self, seconds: float) -> None:
        """Wait as a vendor does before it tries again."""
        await asyncio.sleep(seconds * self._manner.retry_scale)

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
        for _ in range(self._manner.copies - 1):
            self.later(self._attempt(letter))
        return await self._attempt(letter)

    async def _attempt(self, letter: Letter) -> Delivery:
        if self._manner.shuffle_seconds:
            await asyncio.sleep(self._random.uniform(0, self._manner.shuffle_seconds))
        number, when, started = next(self._ids), self._clock(), time.monotonic()
        code, problem, answer, headers = await self._post(letter)
        seconds = round(time.monotonic() - started, 3)
        delivery = Delivery(number, letter, when, seconds, code, problem, answer, headers)
        self._log.append(delivery)
        return delivery

    async def _post(self, letter: Letter) -> tuple[int, str, str, Mapping[str, str]]:
        if self._http is None:
            raise RuntimeError("the courier is not running")
        request = self._http.post(letter.url, data=letter.body, headers=letter.headers, allow_redirects=False)
        try:
            async with request as response:
                answer = await response.content.read(RESPONSE_BYTES_MAX)
                return response.status, "", answer.decode(errors="replace"), response.headers
        except TimeoutError:
            return 0, "timed out", "", {}
        except (aiohttp.ClientError, ValueError):  # ValueError: a URL that is none
            return 0, "failed to connect to host", "", {}
