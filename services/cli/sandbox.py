"""The vendors' stand-in inside a local stack: started, configured, and spoken to as a person would.

Each vendor that the environment does not configure is played. A vendor is a line in `_PLAYED`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import aiohttp
from cryptography.hazmat.primitives import serialization

from services.cli.configuration import VENDORS
from services.sandbox.settings import (
    PLANE_CALLS_PER_MINUTE,
    GithubSettings,
    GoogleSettings,
    PlaneSettings,
    SandboxSettings,
    SlackSettings,
)

if TYPE_CHECKING:
    from services.sandbox.server import SandboxServer

APP_ID = 1
CALL_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running stand-in, the vendors it plays and the environment that points the services at it."""

    server: SandboxServer
    url: str
    vendors: Sequence[str]
    environment: Mapping[str, str]

    async def deliver_to(self, gateway_url: str) -> None:
        """Send the played vendors' webhooks to this gateway from now on."""
        for vendor in self.vendors:
            target = {"url": f"{gateway_url}/webhooks/{_EVENTS.get(vendor, vendor)}"}
            await call(self.url, "PUT", f"/_sandbox/{vendor}/webhook", target)


async def start_sandbox(
    *,
    webhook_secret: str,
    app_private_key: str,
    port: int,
    vendors: Sequence[str] = tuple(VENDORS),
    plane_calls_per_minute: int = PLANE_CALLS_PER_MINUTE,
) -> Sandbox:
    """Start it on 127.0.0.1, its GitHub App holding the public half of the key, to play these vendors.

    `plane_calls_per_minute`: what a Plane of one's own allows; by itself what Plane's cloud does.
    """
    from services.sandbox.server import SandboxServer  # noqa: PLC0415 - loads every vendor

    settings = SandboxSettings(
        github=_github(webhook_secret, app_private_key),
        slack=SlackSettings(
            signing_secret=webhook_secret,
            bot_token=f"xoxb-{sha256(webhook_secret.encode()).hexdigest()}",
        ),
        google=_google(webhook_secret, app_private_key),
        plane=PlaneSettings(
            webhook_secret=webhook_secret,
            api_key=f"plane_api_{sha256(webhook_secret.encode()).hexdigest()}",
            rate_limit_per_minute=plane_calls_per_minute,
        ),
    )
    server = SandboxServer(settings)
    url = await server.start(port=port)
    given = _Given(url, settings, webhook_secret, app_private_key)
    environment = {name: value for vendor in vendors for name, value in _PLAYED[vendor](given).items()}
    return Sandbox(server, url, vendors, environment)


async def call(
    base_url: str,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    seconds_max: float = CALL_SECONDS,
) -> Any:
    """One call of the stand-in's admin API; raises aiohttp.ClientResponseError with its status."""
    timeout = aiohttp.ClientTimeout(total=seconds_max)
    async with (
        aiohttp.ClientSession(base_url, timeout=timeout) as session,
        session.request(method, path, json=body) as response,
    ):
        response.raise_for_status()
        return await response.json() if response.content_type == "application/json" else None


@dataclass(frozen=True, slots=True)
class _Given:
    url: str
    settings: SandboxSettings
    webhook_secret: str
    app_private_key: str


def _github(webhook_secret: str, app_private_key: str) -> GithubSettings:
    key = serialization.load_pem_private_key(app_private_key.encode(), password=None)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return GithubSettings(webhook_secret=webhook_secret, app_id=APP_ID, app_public_key=public.decode())


def _google(webhook_secret: str, app_private_key: str) -> GoogleSettings:
    return GoogleSettings(
        client_secret=f"GOCSPX-{sha256(webhook_secret.encode()).hexdigest()}",
        refresh_token=f"1//{sha256(webhook_secret.encode()).hexdigest()}",
        signing_key=app_private_key,
    )


def _as_github(given: _Given) -> dict[str, str]:
    return {
        "GITHUB_API_URL": f"{given.url}/github",
        "GITHUB_APP_ID": str(APP_ID),
        "GITHUB_APP_SLUG": given.settings.github.app_slug,
        "GITHUB_APP_PRIVATE_KEY": given.app_private_key,
        "GITHUB_WEBHOOK_SECRET": given.webhook_secret,
    }


def _as_slack(given: _Given) -> dict[str, str]:
    return {
        "SLACK_API_URL": f"{given.url}/slack/api/",
        "SLACK_BOT_TOKEN": given.settings.slack.bot_token,
        "SLACK_SIGNING_SECRET": given.settings.slack.signing_secret,
    }


def _as_plane(given: _Given) -> dict[str, str]:
    return {
        "PLANE_API_URL": f"{given.url}/plane",
        "PLANE_APP_URL": f"{given.url}/web/plane",
        "PLANE_API_KEY": given.settings.plane.api_key,
        "PLANE_WORKSPACE": given.settings.plane.workspace,
        "PLANE_WEBHOOK_SECRET": given.settings.plane.webhook_secret,
    }


def _as_google_drive(given: _Given) -> dict[str, str]:
    google = given.settings.google
    return {
        "GOOGLE_API_URL": f"{given.url}/google-drive",
        "GOOGLE_TOKEN_URL": f"{given.url}/google-drive/token",
        "GOOGLE_CERTS_URL": f"{given.url}/google-drive/oauth2/v3/certs",
        "GOOGLE_CLIENT_ID": google.client_id,
        "GOOGLE_CLIENT_SECRET": google.client_secret,
        "GOOGLE_REFRESH_TOKEN": google.refresh_token,
        "DRIVE_CHANNEL_TOKEN": sha256(f"drive {given.webhook_secret}".encode()).hexdigest(),
        "PUBSUB_AUDIENCE": google.audience,
        "PUBSUB_SERVICE_ACCOUNT": google.pusher_email,
    }


_EVENTS: Mapping[str, str] = {"google-drive": "google-events"}
"""Where a vendor's webhooks go, if not to its own name; Drive's channels name their address themselves."""
_PLAYED: Mapping[str, Callable[[_Given], dict[str, str]]] = {
    "github": _as_github,
    "slack": _as_slack,
    "plane": _as_plane,
    "google-drive": _as_google_drive,
}
