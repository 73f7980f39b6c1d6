"""A Google stand-in on a stage, with somebody at the far end of its notifications and events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import aiohttp
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.sandbox.server import SandboxServer
from services.sandbox.settings import GoogleSettings, SandboxSettings

CLIENT_SECRET, REFRESH_TOKEN, CHANNEL_TOKEN = "client-secret", "1//refresh-token", "channel-token"
ACCOUNT = "atlas@sandbox.example"
ANSWER_SECONDS = 5.0


@cache
def signing_key() -> str:
    """One for all tests: making one takes long."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@dataclass(frozen=True)
class Received:
    """One notification or event as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Keeps what arrives, answers what it is told to: the statuses in turn, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list[int])
    queue: asyncio.Queue[Received] = field(default_factory=asyncio.Queue[Received])

    async def handle(self, request: web.Request) -> web.Response:
        await self.queue.put(Received(request.path, dict(request.headers), await request.read()))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def next(self) -> Received:
        return await asyncio.wait_for(self.queue.get(), ANSWER_SECONDS)


@dataclass
class GoogleStage:
    """A running sandbox and hands to act in it, as a person (`admin`) and as the account (`api`)."""

    url: str
    http: aiohttp.ClientSession
    receiver: Receiver
    settings: GoogleSettings
    token: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What points the tools service at it."""
        return {
            "GOOGLE_API_URL": f"{self.url}/google-drive",
            "GOOGLE_TOKEN_URL": f"{self.url}/google-drive/token",
            "GOOGLE_CERTS_URL": f"{self.url}/google-drive/oauth2/v3/certs",
            "GOOGLE_CLIENT_ID": self.settings.client_id,
            "GOOGLE_CLIENT_SECRET": CLIENT_SECRET,
            "GOOGLE_REFRESH_TOKEN": REFRESH_TOKEN,
        }

    async def admin(self, verb: str, path: str, /, **body: object) -> Any:
        async with self.http.request(verb, f"{self.url}/_sandbox{path}", json=body or None) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.content_type == "application/json" else None

    async def file(self, name: str = "Spec", **more: object) -> str:
        return (await self.admin("POST", "/google-drive/files", name=name, **more))["id"]

    async def comment(self, file_id: str, content: str = "@atlas why?", **more: object) -> dict[str, Any]:
        return await self.admin("POST", "/google-drive/comments", file_id=file_id, content=content, **more)

    async def reply(self, comment: Mapping[str, Any], content: str = "", **more: object) -> dict[str, Any]:
        place = {"file_id": comment["file_id"], "comment_id": comment["comment_id"]}
        return await self.admin("POST", "/google-drive/replies", **place, content=content, **more)

    async def thread(self, comment: Mapping[str, Any]) -> list[dict[str, Any]]:
        return (await self._thread(comment))["messages"]

    async def resolved(self, comment: Mapping[str, Any]) -> bool:
        return (await self._thread(comment))["resolved"]

    async def _thread(self, comment: Mapping[str, Any]) -> Any:
        path = f"/google-drive/threads/{comment['file_id']}/{comment['comment_id']}"
        return await self.admin("GET", path)

    async def calls(self, path: str) -> int:
        """How often paths that end so were called."""
        told = (await self.admin("GET", "/calls"))["calls"]
        return sum(each["count"] for each in told if each["path"].endswith(path))

    async def fault(self, path: str, action: str, *, times: int = 1, method: str = "*") -> None:
        await self.admin(
            "POST", "/faults", method=method, path_pattern=f"*/{path}", action=action, times=times
        )

    async def sign_in(self, **more: str) -> tuple[int, Any]:
        form = {
            "grant_type": "refresh_token",
            "client_id": self.settings.client_id,
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
            **more,
        }
        async with self.http.post(f"{self.url}/google-drive/token", data=form) as answer:
            return answer.status, await answer.json()

    async def api(self, verb: str, path: str, body: object = None, /, **parameters: str) -> tuple[int, Any]:
        """One call of Drive's API; the reason instead of the answer where it is refused."""
        self.token = self.token or (await self.sign_in())[1]["access_token"]
        url = f"{self.url}/google-drive/drive/v3/{path}"
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.http.request(verb, url, params=parameters, json=body, headers=headers) as answer:
            told = await answer.json() if answer.content_type == "application/json" else None
            refused = told and "error" in told
            return answer.status, told["error"]["errors"][0]["reason"] if refused else told


@asynccontextmanager
async def google_stage(*, wired: bool = True, **more: Any) -> AsyncIterator[GoogleStage]:
    """With `wired`, events are pushed to the receiver; repeats come without the pauses between them."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/{what}", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    settings = GoogleSettings(
        events_url=f"{receiver.url}/events" if wired else "",
        client_secret=CLIENT_SECRET,
        refresh_token=REFRESH_TOKEN,
        account_email=ACCOUNT,
        retry_delays_seconds=(0.0, 0.0, 0.0),
        signing_key=signing_key(),
        **more,
    )
    server = SandboxServer(SandboxSettings(google=settings))
    url = await server.start()
    async with aiohttp.ClientSession() as http:
        yield GoogleStage(url, http, receiver, settings)
    await server.stop()
    await runner.cleanup()
