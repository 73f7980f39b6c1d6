"""Text as a model writes it, from the worker to whoever reads along; it is kept nowhere.

Both may be at different replicas, so both speak by NOTIFY: a reader says that it is there, again and again
while it is, and the worker of that run then sends its text in pieces. Where nobody reads, nothing is sent.
What is lost on the way is told again at the reader's next word, and the recorded turn has all of it.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

from sqlalchemy import func, select

from aucert.astra.v1.task_run_service_pb2 import StreamedText
from services.astra.notifications import Notifications, Watch
from services.astra.record import READERS_CHANNEL, TEXT_CHANNEL
from services.common.database import Database

WORD_SECONDS = 8.0
"""How often a reader says that it is there. Workers take it for gone after 20 seconds."""
PENDING_MAX = 50
"""Pieces kept for a reader that is behind; past that it misses some until its next word."""


class ReadingAlong:
    """Passes text on, and lets readers have it."""

    def __init__(self, database: Database, notifications: Notifications) -> None:
        self._database = database
        self._notifications = notifications

    async def publish(self, tenant_id: str, task_run_id: str, piece: StreamedText) -> None:
        """Pass a piece on. It fits a notification, which takes 8000 bytes: a contract bounds its text."""
        encoded = base64.b64encode(piece.SerializeToString()).decode()
        await self._notify(TEXT_CHANNEL, f"{tenant_id} {task_run_id} {encoded}")

    @contextmanager
    def reader(self, tenant_id: str, task_run_id: str, wake: asyncio.Event) -> Iterator[Reader]:
        """Read along with a run within the block; `wake` is set when there is text."""
        prefix = f"{tenant_id} {task_run_id} "
        with self._notifications.watch(TEXT_CHANNEL, prefix, wake=wake, pending_max=PENDING_MAX) as texts:
            yield Reader(texts, wake, self, task_run_id)

    async def say_reader_is_there(self, task_run_id: str) -> None:
        """Let the run's worker know."""
        await self._notify(READERS_CHANNEL, task_run_id)

    async def _notify(self, channel: str, payload: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(select(func.pg_notify(channel, payload)))


class Reader:
    """One reader of a run's text."""

    def __init__(self, texts: Watch, wake: asyncio.Event, place: ReadingAlong, task_run_id: str) -> None:
        self._texts = texts
        self._wake = wake
        self._place = place
        self._task_run_id = task_run_id
        self._fence = 0
        self._next_word = 0.0

    async def until_told(self, run: Watch) -> AsyncGenerator[StreamedText]:
        """The text that comes until there is something new on record, which is then taken from `run`.

        Raises Unavailable once the process leaves.
        """
        clock = asyncio.get_running_loop().time
        while not run.has_news():
            if clock() >= self._next_word:
                self._next_word = clock() + WORD_SECONDS
                await self._place.say_reader_is_there(self._task_run_id)
            try:
                async with asyncio.timeout_at(self._next_word):
                    await self._wake.wait()
            except TimeoutError:
                continue
            for encoded in self._texts.taken().words:
                piece = StreamedText.FromString(base64.b64decode(encoded))
                if piece.fence >= self._fence:  # a stalled attempt may still write beside its successor
                    self._fence = piece.fence
                    yield piece
        run.taken()
