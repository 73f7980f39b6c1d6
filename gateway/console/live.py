"""Server-sent events: frames of HTML that the page swaps in. Each stream is bounded in time.

A stream that ends is asked for again by the page, with the id of the last frame it took, and with the session
looked at anew.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import grpc
import structlog
from aiohttp import web

from services.common.errors import ServiceError

STREAM_SECONDS_MAX = 600.0
"""A token that was revoked shows nothing new after this long."""
STREAMS_MAX = 300
"""Per gateway; each holds a stream of Astra's open as well."""
_LINE_ENDS = re.compile(r"\r\n|\r|\n")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Frame:
    """What to swap in, under which id; or a named event for the page's own use. Empty: a sign of life."""

    html: str = ""
    id: str = ""
    event: str = ""

    def encoded(self) -> bytes:
        """As the wire has it."""
        lines = [f"id: {self.id}"] if self.id else []
        lines += [f"event: {self.event}"] if self.event else []
        if self.html or self.event:
            lines += [f"data: {line}" for line in _LINE_ENDS.split(self.html)]
        return ("\n".join(lines or [":"]) + "\n\n").encode()


END = Frame(event="end")
"""Nothing more will come: the page does not ask again."""


class Streams:
    """The streams that are open. Past STREAMS_MAX a page gets none, and is read as it is."""

    def __init__(self) -> None:
        self._limits: set[asyncio.Timeout] = set()

    async def send(self, request: web.Request, frames: AsyncGenerator[Frame]) -> web.StreamResponse:
        """Answer with the frames until they end, the reader leaves or the time is up."""
        if len(self._limits) >= STREAMS_MAX:
            await frames.aclose()
            raise web.HTTPServiceUnavailable(text="Too many pages are open here. Reload to see what is new.")
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # a proxy that collects answers would hold them back
            }
        )
        await response.prepare(request)
        limit = asyncio.timeout(STREAM_SECONDS_MAX)
        self._limits.add(limit)
        try:
            async with limit, aclosing(frames):
                async for frame in frames:
                    await response.write(frame.encoded())
        except (TimeoutError, ConnectionResetError):
            pass
        except (grpc.aio.AioRpcError, ServiceError) as error:
            log.info("console_stream_ended", reason=type(error).__name__)
        finally:
            self._limits.discard(limit)
        return response

    async def end(self) -> None:
        """End all of them, so that the server need not wait for people to close their pages."""
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            limit.reschedule(now)
