"""GitHub's REST API as the App itself: what it is, where it is installed, how its webhook fares.

For people who set an App up. Unlike `github_client`, a refusal keeps what GitHub said, and how far apart the
two clocks are: a JWT is bound to both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from githubkit import AppAuthStrategy, GitHub
from githubkit.cache import MemCacheStrategy
from githubkit.exception import GitHubException, RequestFailed

from services.tools.github_client import API_VERSION, TIMEOUT_SECONDS, GitHubApp
from services.tools.vendor_errors import SourceOff, VendorUnavailable

PERMISSIONS: Mapping[str, str] = {
    "contents": "write",  # to clone and read files; to branch for a pull request; to resolve a review thread
    "issues": "write",  # to hear of issues and their comments, answer and react there; to open, change them
    "metadata": "read",  # GitHub gives it to every App
    "pull_requests": "write",  # the same on pull requests and their reviews; to open them
}
"""What the calls of this service need of an installation, and nothing more."""
MESSAGE_CHARS_MAX = 200
Json = Any


class AppRefused(Exception):
    """GitHub answered with an error; `clock_ahead_seconds`: how far our clock is ahead of GitHub's."""

    def __init__(self, status: int, message: str, clock_ahead_seconds: float) -> None:
        super().__init__(f"GitHub answered {status}: {message}" if message else f"GitHub answered {status}")
        self.status = status
        self.clock_ahead_seconds = clock_ahead_seconds


class GitHubAppClient:
    """Calls GitHub as the App. Raises SourceOff for one that is not configured."""

    def __init__(self, app: GitHubApp, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        if app.off_reason:
            raise SourceOff(f"GitHub is off: {app.off_reason}.")
        self._timeout_seconds = timeout_seconds
        self._github = GitHub(
            AppAuthStrategy(app.app_id, app.private_key.get_secret_value()),
            base_url=app.api_url,
            timeout=timeout_seconds,
            auto_retry=False,
            ssl_verify=httpx.create_ssl_context(),  # once: each call opens a connection
            cache_strategy=MemCacheStrategy(),  # githubkit's default one is shared by the whole process
            http_cache=False,  # its transport forgets the timeout
        )

    async def get(self, path: str, **params: int) -> Json:
        """One call; the parsed answer. Raises AppRefused, or VendorUnavailable where nobody answers."""
        return await self._request("GET", path, params=params)

    async def try_token(self, installation_id: int, permissions: Mapping[str, str]) -> None:
        """Have a token of this installation made, and forget it. Raises as `get`."""
        path = f"/app/installations/{installation_id}/access_tokens"
        await self._request("POST", path, json={"permissions": dict(permissions)})

    async def _request(self, method: str, path: str, **more: Any) -> Json:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._github.arequest(
                    method, path, headers={"X-GitHub-Api-Version": API_VERSION}, **more
                )
            return response.json()
        except RequestFailed as error:
            answer = error.response
            ahead = _seconds_ahead(answer.headers.get("date", ""))
            raise AppRefused(answer.status_code, _message(answer), ahead) from None
        except (GitHubException, TimeoutError, ValueError):  # ValueError: an answer that is no JSON
            raise VendorUnavailable("GitHub cannot be reached. Try again.") from None


def _message(answer: Json) -> str:
    """What GitHub says is wrong; empty where something else answered."""
    try:
        return str(answer.json()["message"])[:MESSAGE_CHARS_MAX]
    except (ValueError, LookupError, TypeError):
        return ""


def _seconds_ahead(date: str) -> float:
    """How far our clock is ahead of an HTTP date; 0 for none."""
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return 0.0
    return (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()
