"""A model in the chat-completions dialect that stops in the middle of its answer until it is let go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

FIRST, SECOND = "The cart is kept ", "in memory."


class Teller:
    """Says FIRST at once, and SECOND once `go_on` is set."""

    def __init__(self) -> None:
        self.url = ""
        self.go_on = asyncio.Event()

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(_piece({"content": FIRST}))
        await self.go_on.wait()
        await response.write(_piece({"content": SECOND}) + _piece({}, "stop") + b"data: [DONE]\n\n")
        return response


def _piece(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18} if finish_reason else None
    told = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return f"data: {json.dumps({**told, 'usage': usage})}\n\n".encode()


@asynccontextmanager
async def telling() -> AsyncIterator[Teller]:
    """Serve until the block is left."""
    teller, app = Teller(), web.Application()
    app.router.add_post("/v1/chat/completions", teller.complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        teller.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield teller
    finally:
        teller.go_on.set()
        await runner.cleanup()
