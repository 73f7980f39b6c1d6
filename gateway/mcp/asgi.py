"""One request of aiohttp, answered by an ASGI application: bodies travel whole, both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

Message = dict[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]


async def answer_by(application: Application, request: web.Request, **extensions: object) -> web.Response:
    """Read the body, call the application, collect its answer. `extensions` are added to the scope."""
    body = await request.read()
    unread = [{"type": "http.request", "body": body, "more_body": False}]
    status, headers, content = 500, [], bytearray()

    async def receive() -> Message:
        if unread:
            return unread.pop()
        return await asyncio.get_running_loop().create_future()  # nobody tells us of a client that left

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], message.get("headers", [])
        else:
            content.extend(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.rel_url.raw_path.encode(),
        "query_string": request.rel_url.raw_query_string.encode(),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": None,
        "server": None,
        **extensions,
    }
    await application(scope, receive, send)
    told = CIMultiDict(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in headers
        if name.lower() != b"content-length"
    )
    return web.Response(status=status, body=bytes(content), headers=told)
