"""The model of every contender: answers at once in the chat-completions dialect, and notes when it was asked.

Prints its base URL as the first line of stdout and serves until stdin closes. `GET /calls/<key>` tells the
calls of a run: from this side all contenders look alike, so what lies between an answer and the next question
is the cost of a turn beyond the model, however a contender is built. `GET /answered/<key>` is held until the
run has its answer.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import uvloop
from aiohttp import web

from scripts.loop_bench.assignment import Assignment, Json, next_message

BODY_BYTES_MAX = 16 * 1024 * 1024
"""More than the longest conversation measured: 40 turns with 40 KB each."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the model, in seconds of this process's clock, and the size of the tool result it read."""

    asked: float
    answered: float
    result_bytes: int


class ModelServer:
    """Serves the model and remembers its calls."""

    def __init__(self) -> None:
        self._calls: dict[str, list[Call]] = defaultdict(list)
        self._answered: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/calls/{key}", self._tell)
        app.router.add_get("/answered/{key}", self._wait)
        return app

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = time.monotonic()
        messages = (await request.json())["messages"]
        said = next_message(messages)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(events(said))
        await response.write_eof()
        call = Call(asked, time.monotonic(), result_bytes(messages[-1]))
        key = Assignment.of(messages).key
        self._calls[key].append(call)
        if "tool_calls" not in said:
            self._answered[key].set()
        return response

    async def _wait(self, request: web.Request) -> web.Response:
        await self._answered[request.match_info["key"]].wait()  # bounded by the patience of who asks
        return web.Response()

    async def _tell(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        calls = self._calls.pop(key, [])
        self._answered.pop(key, None)
        return web.json_response([asdict(call) for call in calls])


def result_bytes(message: Mapping[str, Any]) -> int:
    """The size of the tool result in a message. -1: it is none."""
    return len(str(message["content"]).encode()) if message["role"] == "tool" else -1


def events(message: Json) -> bytes:
    """A whole answer as the stream of server-sent events in which it is given."""
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    chunks = [
        {"choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": usage},
    ]
    common = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 0, "model": "bench"}
    told = [json.dumps({**common, **chunk}) for chunk in chunks]
    return "".join(f"data: {each}\n\n" for each in [*told, "[DONE]"]).encode()


async def serve() -> None:
    """Serve on a free port until stdin closes."""
    runner = web.AppRunner(ModelServer().app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve())
