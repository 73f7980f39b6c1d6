"""Sends what a model writes to those who read along, if anybody does, without holding the call up.

Astra tells again and again which runs are read. Text goes in pieces a moment apart; each time a reader is
told of, the last part is sent anew, so one that came late, or missed a piece, has it. The recorded turn has
all of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc

from aucert.astra.v1.task_run_service_pb2 import PublishTextRequest, StreamedText
from aucert.models.v1.model_service_pb2 import GenerateResponse

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub

READER_SECONDS = 20.0
"""How long a reader is taken to be there after Astra told of it."""
SEND_SECONDS = 0.2
"""Pause before each piece: short beside what an eye follows."""
PUBLISH_SECONDS_MAX = 2.0
PIECE_CHARS_MAX = 1_000
TAIL_CHARS_MAX = 4_000
"""Most text kept for readers: the end of what a model writes in one call."""


class Readers:
    """The runs that somebody reads along with, as Astra tells."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, int]] = {}
        self._awaited: dict[str, list[Callable[[], None]]] = {}

    def told_of(self, task_run_id: str) -> None:
        """Somebody reads this run."""
        _, times = self._told.get(task_run_id, (0.0, 0))
        self._told[task_run_id] = (time.monotonic() + READER_SECONDS, times + 1)
        for wake in self._awaited.get(task_run_id, ()):
            wake()

    @contextmanager
    def awaited(self, task_run_id: str, wake: Callable[[], None]) -> Iterator[None]:
        """Within the block, call `wake` each time a reader of this run is told of."""
        waiting = self._awaited.setdefault(task_run_id, [])
        waiting.append(wake)
        try:
            yield
        finally:
            waiting.remove(wake)
            if not waiting:
                del self._awaited[task_run_id]

    def forget(self, task_run_id: str) -> None:
        """This process no longer works on the run."""
        self._told.pop(task_run_id, None)

    def times_told(self, task_run_id: str) -> int:
        """How often a reader was told of; 0 while nobody reads."""
        until, times = self._told.get(task_run_id, (0.0, 0))
        return times if time.monotonic() < until else 0


class LiveText:
    """What a model writes in one call, for readers of the run. `position`: of the turn it will be."""

    def __init__(
        self,
        readers: Readers,
        runs: TaskRunServiceAsyncStub,
        task_run_id: str,
        *,
        fence: int,
        position: int,
    ) -> None:
        self._readers = readers
        self._runs = runs
        self._task_run_id = task_run_id
        self._fence = fence
        self._position = position
        self._tail = ""
        self._written = 0
        self._sent = 0
        self._times_told = 0
        self._sending: asyncio.Task[None] | None = None

    @contextmanager
    def following(self) -> Iterator[None]:
        """Send while the block lasts: after it the turn is on record, or the call failed."""
        try:
            # One who comes while the model is silent must not wait for its next word.
            with self._readers.awaited(self._task_run_id, self._send_soon):
                yield
        finally:
            if self._sending is not None:
                self._sending.cancel()

    def add(self, piece: GenerateResponse) -> None:
        """Take in what was written. Returns at once."""
        text = words_of(piece)
        if not text:
            return
        self._written += len(text)
        self._tail = (self._tail + text)[-TAIL_CHARS_MAX:]
        self._send_soon()

    def _send_soon(self) -> None:
        idle = self._sending is None or self._sending.done()
        if idle and self._readers.times_told(self._task_run_id):
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        """Send all that is written while anybody reads; what cannot be sent is left out."""
        while self._readers.times_told(self._task_run_id) and self._unsent_from() < self._written:
            await asyncio.sleep(SEND_SECONDS)
            start, self._times_told = self._unsent_from(), self._readers.times_told(self._task_run_id)
            self._sent = self._written
            kept_from = self._written - len(self._tail)
            unsent = self._tail[start - kept_from :]
            for place in range(0, len(unsent), PIECE_CHARS_MAX):
                text = unsent[place : place + PIECE_CHARS_MAX]
                await self._publish(StreamedText(text=text, offset=start + place))

    def _unsent_from(self) -> int:
        """From where on to send: the whole tail, where a reader was told of since the last piece."""
        kept_from = self._written - len(self._tail)
        anew = self._readers.times_told(self._task_run_id) != self._times_told
        return kept_from if anew else max(kept_from, self._sent)

    async def _publish(self, piece: StreamedText) -> None:
        piece.fence, piece.position = self._fence, self._position
        request = PublishTextRequest(task_run_id=self._task_run_id, text=piece)
        try:
            await self._runs.PublishText(request, timeout=PUBLISH_SECONDS_MAX)
        except grpc.aio.AioRpcError:
            return  # a reader misses a piece; the run is not held up for it


def words_of(piece: GenerateResponse) -> str:
    """A piece of a stream as a reader sees it. Empty: nothing to see."""
    match piece.WhichOneof("piece"):
        case "text_delta":
            return piece.text_delta
        case "tool_call_delta" if piece.tool_call_delta.tool_name:
            return f"\n(calls {piece.tool_call_delta.tool_name})\n"
        case "reasoning_mark":
            return "(reasons)\n"
        case _:
            return ""
