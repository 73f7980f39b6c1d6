"""A Plane stand-in on a stage, with somebody at the far end of its webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from services.sandbox.server import SandboxServer
from services.sandbox.settings import PlaneSettings, SandboxSettings

SECRET, KEY, WORKSPACE = "plane_wh_secret", "plane_api_secret", "acme"
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Received:
    """One webhook as it came."""

    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Keeps what arrives, answers what it is told to: the statuses in turn, then 200; 0 hangs up."""

    url: str = ""
    statuses: list[int] = field(default_factory=list[int])
    queue: asyncio.Queue[Received] = field(default_factory=asyncio.Queue[Received])

    async def handle(self, request: web.Request) -> web.Response:
        await self.queue.put(Received(dict(request.headers), await request.read()))
        status = self.statuses.pop(0) if self.statuses else 200
        if not status and request.transport is not None:
            request.transport.abort()
        return web.Response(status=status or 200)

    async def next(self) -> Received:
        return await asyncio.wait_for(self.queue.get(), ANSWER_SECONDS)


@dataclass
class PlaneStage:
    """A running sandbox and hands to act in it."""

    url: str
    http: aiohttp.ClientSession
    receiver: Receiver

    async def admin(self, verb: str, path: str, /, **body: object) -> Any:
        async with self.http.request(verb, f"{self.url}/_sandbox{path}", json=body or None) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.content_type == "application/json" else None

    async def file(self, text: str = "", *, project: str = "shop", **more: object) -> dict[str, Any]:
        """A person files a work item."""
        body = {"name": "Carts are slow", **more}
        return await self.admin("POST", "/plane/work-items", project=project, text=text, **body)

    async def say(self, item: Mapping[str, Any], text: str = "hello", **more: object) -> dict[str, Any]:
        """A person comments on it."""
        return await self.admin("POST", "/plane/comments", work_item=item["work_item"], text=text, **more)

    async def comments(self, item: Mapping[str, Any]) -> list[dict[str, Any]]:
        return (await self.admin("GET", f"/plane/threads/{item['work_item']}"))["comments"]

    async def fault(self, method: str, path: str, action: str, *, times: int = 1) -> None:
        """On calls of the API that end so."""
        await self.admin(
            "POST", "/faults", method=method, path_pattern=f"*{path}", action=action, times=times
        )

    async def calls(self) -> int:
        """How many the API got."""
        return sum(each["count"] for each in (await self.admin("GET", "/calls"))["calls"])


@asynccontextmanager
async def plane_stage(
    *, wired: bool = True, version: str = "v1", per_minute: int = 60
) -> AsyncIterator[PlaneStage]:
    """With `wired`, webhooks go to the receiver; repeats come without the minutes between them."""
    receiver = Receiver()
    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_post("/", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    server = SandboxServer(
        SandboxSettings(
            plane=PlaneSettings(
                webhook_url=receiver.url if wired else "",
                webhook_secret=SECRET,
                webhook_version=version,
                api_key=KEY,
                workspace=WORKSPACE,
                retry_delays_seconds=(0.0,) * 5,
                rate_limit_per_minute=per_minute,
            )
        )
    )
    url = await server.start()
    async with aiohttp.ClientSession() as http:
        yield PlaneStage(url, http, receiver)
    await server.stop()
    await runner.cleanup()
