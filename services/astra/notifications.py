"""What changed, told by PostgreSQL: one LISTEN connection a process, outside the pool, for all watchers.

A notification carries ids, or text that is kept nowhere, and may be lost with the connection; the record
may not. So a watcher reads the record when it starts and whenever `everything` is set, and in between only
what it is told of.
The price of NOTIFY is that transactions which notify commit one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
import structlog
from psycopg import sql

from services.astra.record import CHANGED_CHANNEL, READERS_CHANNEL, STOP_CHANNEL, TEXT_CHANNEL
from services.common.errors import Unavailable

PENDING_MAX = 1_000
"""Most words kept for a watcher that is behind; past that it reads everything again."""
CONNECT_SECONDS = 3
PROBE_SECONDS = 10.0
"""Silence after which the connection is asked whether it still lives."""
PROBE_TIMEOUT_SECONDS = 3.0
RECONNECT_SECONDS_MIN = 0.1
RECONNECT_SECONDS_MAX = 2.0

log = structlog.get_logger()


@dataclass(slots=True)
class Changes:
    """What a watcher missed since it last looked: these words in their order, ids mostly, or everything."""

    words: list[str]
    everything: bool


@dataclass(eq=False, slots=True)
class Watch:
    """One watcher's view of a channel: the payloads that begin with `prefix`. `ended`: no more will come."""

    channel: str
    prefix: str
    pending_max: int = PENDING_MAX
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    _words: dict[str, None] = field(default_factory=dict[str, None])  # each once, in order
    _everything: bool = False

    def tell(self, payload: str) -> None:
        """Note a word. A watcher too far behind is told to read everything."""
        self._words[payload.removeprefix(self.prefix).strip()] = None
        if len(self._words) > self.pending_max:
            self.tell_everything()
        self.wake.set()

    def tell_everything(self) -> None:
        """Note that words may have been lost."""
        self._words.clear()
        self._everything = True
        self.wake.set()

    def end(self) -> None:
        """Let the watcher go."""
        self.ended = True
        self.wake.set()

    def has_news(self) -> bool:
        """Whether there is something to take."""
        return bool(self._words or self._everything or self.ended)

    async def changes(self) -> Changes:
        """Wait until there is something, and take it. Raises Unavailable once the process leaves."""
        await self.wake.wait()
        return self.taken()

    def taken(self) -> Changes:
        """Take what there is, perhaps nothing. Raises Unavailable once the process leaves."""
        if self.ended:
            raise Unavailable("This process leaves. Watch again to reach another.")
        self.wake.clear()
        found = Changes(list(self._words), self._everything)
        self._words, self._everything = {}, False
        return found


class Notifications:
    """The process's LISTEN connection. `url` is a libpq URL of any role."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._watches: set[Watch] = set()
        self._leaving = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen until the block is left; a lost connection is made again."""
        task = asyncio.create_task(self._listen_forever())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @contextmanager
    def watch(
        self,
        channel: str,
        prefix: str = "",
        *,
        wake: asyncio.Event | None = None,
        pending_max: int = PENDING_MAX,
    ) -> Iterator[Watch]:
        """Watch a channel. Look at the record after entering: what happens from then on is told.

        `wake` is set when it is told something, and may be shared by several watches that are taken together.
        """
        watch = Watch(channel, prefix, pending_max, wake or asyncio.Event())
        if self._leaving:
            watch.end()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def end_watches(self) -> None:
        """Let all watchers go, and those that come, so that a server drains without waiting for them."""
        self._leaving = True
        for watch in self._watches:
            watch.end()

    async def _listen_forever(self) -> None:
        pause = RECONNECT_SECONDS_MIN
        while True:
            try:
                async with await self._connect() as connection:
                    pause = RECONNECT_SECONDS_MIN
                    for watch in self._watches:
                        watch.tell_everything()
                    await self._pass_on(connection)
            except (psycopg.Error, OSError, TimeoutError) as error:
                log.warning("notifications_lost", error=type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RECONNECT_SECONDS_MAX)

    async def _connect(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name="astra-notifications",
        )
        for channel in (CHANGED_CHANNEL, STOP_CHANNEL, TEXT_CHANNEL, READERS_CHANNEL):
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        return connection

    async def _pass_on(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        """Hand out notifications until the connection fails."""
        while True:
            async for notice in connection.notifies(timeout=PROBE_SECONDS):
                for watch in self._watches:
                    if notice.channel == watch.channel and notice.payload.startswith(watch.prefix):
                        watch.tell(notice.payload)
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                await connection.execute("SELECT 1")
