"""A Slack stand-in on a stage, with somebody at the far end of its events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from services.sandbox.server import SandboxServer
from services.sandbox.settings import SandboxSettings, SlackSettings

SECRET, TOKEN = "signing-secret", "xoxb-secret-token"
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Received:
    """One event as it came."""

    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Keeps what arrives, answers what it is told to: the statuses in turn, then 200, with these headers."""

    url: str = ""
    statuses: list[int] = field(default_factory=list[int])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    queue: asyncio.Queue[Received] = field(default_factory=asyncio.Queue[Received])

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self.queue.put(Received(dict(request.headers), body))
        told = await request.json()
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, text=told.get("challenge"), headers=self.headers)

    async def next(self) -> Received:
        return await asyncio.wait_for(self.queue.get(), ANSWER_SECONDS)


@dataclass
class SlackStage:
    """A running sandbox and hands to act in it."""

    url: str
    http: aiohttp.ClientSession
    receiver: Receiver

    async def admin(self, verb: str, path: str, /, **body: object) -> Any:
        async with self.http.request(verb, f"{self.url}/_sandbox{path}", json=body or None) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.content_type == "application/json" else None

    async def say(self, text: str = "hello", *, channel: str = "shop", **more: object) -> dict[str, Any]:
        return await self.admin("POST", "/slack/messages", channel=channel, text=text, **more)

    async def thread(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        return (await self.admin("GET", f"/slack/threads/{message['channel']}/{message['ts']}"))["messages"]

    async def fault(self, method: str, action: str, *, times: int = 1) -> None:
        await self.admin("POST", "/faults", path_pattern=f"*/{method}", action=action, times=times)


@asynccontextmanager
async def slack_stage(
    *, wired: bool = True, retry_delays_seconds: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> AsyncIterator[SlackStage]:
    """With `wired`, events go to the receiver; repeats come without the minutes between them."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    server = SandboxServer(
        SandboxSettings(
            slack=SlackSettings(
                webhook_url=receiver.url if wired else "",
                signing_secret=SECRET,
                bot_token=TOKEN,
                retry_delays_seconds=retry_delays_seconds,
            )
        )
    )
    url = await server.start()
    async with aiohttp.ClientSession() as http:
        yield SlackStage(url, http, receiver)
    await server.stop()
    await runner.cleanup()
