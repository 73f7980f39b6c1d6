"""What the console's handlers work with, made in `gateway/app.py`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.console.live import Streams
from gateway.console.record import Record
from gateway.console.sessions import Sessions

if TYPE_CHECKING:
    from aucert.astra.v1.task_run_service_pb2_grpc import TaskRunServiceAsyncStub
    from aucert.astra.v1.transcript_service_pb2_grpc import TranscriptServiceAsyncStub

SIGN_INS_MAX = 8
"""Sign-ins looked at together. Each wrong one takes its time, so this bounds how fast keys can be tried."""


@dataclass(frozen=True, slots=True)
class Console:
    """`sessions` is None while the console is off. The stubs call with the token given to each call."""

    sessions: Sessions | None
    runs: TaskRunServiceAsyncStub
    transcripts: TranscriptServiceAsyncStub
    streams: Streams = field(default_factory=Streams)
    sign_ins: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SIGN_INS_MAX))

    def record(self, token: str) -> Record:
        """The record as the principal of this token may read it."""
        return Record(self.runs, self.transcripts, token)


CONSOLE = web.AppKey("console", Console)
