"""The model of every contender: streams a fixed answer in the chat-completions dialect.

Prints its base URL as the first line of stdout and serves until stdin closes. The first piece comes at once;
each further one PACE_MS later, or at once too where the request's model is named `burst`.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop
from aiohttp import web

CHUNKS = 50
PACE_MS = 2.0
"""Five hundred pieces a second: several times what a fast model writes."""
BURST = "burst"
WORD = "word "
BODY_BYTES_MAX = 16 * 1024 * 1024


def chunk(**fields: object) -> bytes:
    """One server-sent event."""
    common = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "bench"}
    return f"data: {json.dumps({**common, **fields})}\n\n".encode()


def said(text: str, finish_reason: str | None = None) -> bytes:
    """A piece of the answer."""
    return chunk(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}])


WORDS = [said(WORD) for _ in range(CHUNKS)]
USAGE = {"prompt_tokens": 10, "completion_tokens": CHUNKS, "total_tokens": 10 + CHUNKS}
END = said("", "stop") + chunk(choices=[], usage=USAGE) + b"data: [DONE]\n\n"


async def complete(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat/completions."""
    model = (await request.json())["model"]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    began = asyncio.get_running_loop().time()
    for place, word in enumerate(WORDS):
        if model != BURST:
            due = began + place * PACE_MS / 1000
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        await response.write(word)
    await response.write(END)
    await response.write_eof()
    return response


async def serve() -> None:
    """Serve on a free port until stdin closes."""
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    print(f"http://{host}:{port}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve())
