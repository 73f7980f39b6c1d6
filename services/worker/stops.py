"""Hears which runs were asked to stop, and tells whoever works on them at once; also which somebody reads.

One stream from Astra for the whole process. While it is down nothing is missed: it begins with every
unfinished run that was asked to stop, and each attempt begins by looking at its own run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import structlog

from aucert.astra.v1.task_run_service_pb2 import WatchStopRequestsRequest
from services.worker.reading_along import Readers

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub

RECONNECT_SECONDS_MIN = 0.1
RECONNECT_SECONDS_MAX = 5.0
ResultT = TypeVar("ResultT")
log = structlog.get_logger()


class Stops:
    """The runs this process works on, each with the event that is set when it is asked to stop."""

    def __init__(self, runs: TaskRunServiceAsyncStub) -> None:
        self._runs = runs
        self._watched: dict[str, set[asyncio.Event]] = {}
        self.readers = Readers()
        self.listening = asyncio.Event()
        """Set while the stream stands."""

    @contextmanager
    def watching(self, task_run_id: str) -> Iterator[asyncio.Event]:
        """Be told of a stop of this run, within the block."""
        stopped = asyncio.Event()
        watchers = self._watched.setdefault(task_run_id, set())
        watchers.add(stopped)
        try:
            yield stopped
        finally:
            watchers.discard(stopped)
            if not watchers:
                self._watched.pop(task_run_id, None)
                self.readers.forget(task_run_id)

    async def check(self) -> None:
        """Raise unless the stream stands."""
        if not self.listening.is_set():
            raise ConnectionError("not listening")

    async def listen(self) -> None:
        """Follow the stream, taking it up again whenever it breaks, until cancelled."""
        wait = RECONNECT_SECONDS_MIN
        while True:
            try:
                async for response in self._runs.WatchStopRequests(WatchStopRequestsRequest()):
                    wait = RECONNECT_SECONDS_MIN
                    self.listening.set()
                    for stopped in self._watched.get(response.task_run_id, ()):
                        stopped.set()
                    if response.read_along_task_run_id in self._watched:
                        self.readers.told_of(response.read_along_task_run_id)
            except grpc.aio.AioRpcError as error:
                log.warning("stop_stream_broken", code=error.code().name)
            finally:
                self.listening.clear()
            await asyncio.sleep(wait)
            wait = min(wait * 2, RECONNECT_SECONDS_MAX)


async def unless(stopped: asyncio.Event, work: Coroutine[Any, Any, ResultT]) -> ResultT | None:
    """Do the work, but drop it the moment the event is set; None then. Its own errors come through."""
    if stopped.is_set():
        work.close()
        return None
    working = asyncio.create_task(work)
    waiting = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(working, waiting, return_exceptions=True)
