"""The vendors' stand-in inside a local stack: started, configured, and spoken to as a person would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import serialization

from services.sandbox.server import SandboxServer
from services.sandbox.settings import GithubSettings, SandboxSettings

APP_ID = 1
CALL_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running stand-in and the environment that points the services at it."""

    server: SandboxServer
    url: str
    environment: Mapping[str, str]

    async def deliver_to(self, gateway_url: str) -> None:
        """Send GitHub's webhooks to this gateway from now on."""
        await call(self.url, "PUT", "/_sandbox/github/webhook", {"url": f"{gateway_url}/webhooks/github"})


async def start_sandbox(*, webhook_secret: str, app_private_key: str, port: int) -> Sandbox:
    """Start it on 127.0.0.1, its GitHub App holding the public half of the key."""
    key = serialization.load_pem_private_key(app_private_key.encode(), password=None)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    settings = GithubSettings(webhook_secret=webhook_secret, app_id=APP_ID, app_public_key=public.decode())
    server = SandboxServer(SandboxSettings(github=settings))
    url = await server.start(port=port)
    environment = {
        "GITHUB_API_URL": f"{url}/github",
        "GITHUB_APP_ID": str(APP_ID),
        "GITHUB_APP_SLUG": settings.app_slug,
        "GITHUB_APP_PRIVATE_KEY": app_private_key,
        "GITHUB_WEBHOOK_SECRET": webhook_secret,
    }
    return Sandbox(server, url, environment)


async def call(base_url: str, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
    """One call of the stand-in's admin API; raises aiohttp.ClientResponseError with its status."""
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    async with (
        aiohttp.ClientSession(base_url, timeout=timeout) as session,
        session.request(method, path, json=body) as response,
    ):
        response.raise_for_status()
        return await response.json() if response.content_type == "application/json" else None
