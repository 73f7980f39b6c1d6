"""GitHub's REST API as a GitHub App, one client an installation; tokens are made and kept by githubkit.

One call here is one request: nothing is retried, and every failure is one of `vendor_errors`, without
GitHub's text and without what was sent.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
from githubkit import AppInstallationAuthStrategy, GitHub
from githubkit.cache import MemCacheStrategy
from githubkit.exception import GitHubException, RateLimitExceeded, RequestFailed
from pydantic import SecretStr

from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.task_run_pb2 import TaskRun
from services.tools.git import Credential
from services.tools.vendor_errors import SourceOff, VendorRateLimited, VendorRefused, VendorUnavailable

TIMEOUT_SECONDS = 10.0
INSTALLATIONS_MAX = 1_000
RATE_LIMIT_MAX = timedelta(hours=1)
API_VERSION = "2022-11-28"
_MAYBE_LATER = (401, 408)  # 401: the token was revoked or outlived; the next call makes a new one
Json = Any


@dataclass(frozen=True, slots=True)
class GitHubApp:
    """The App's credentials. `installation_id` serves threads and repositories that name none; 0: none."""

    api_url: str
    app_id: str
    private_key: SecretStr
    installation_id: int = 0

    @property
    def off_reason(self) -> str:
        """What is missing. Empty: it can be used."""
        if not self.app_id:
            return "GITHUB_APP_ID is not set"
        return "" if self.private_key.get_secret_value() else "GITHUB_APP_PRIVATE_KEY is not set"


class GitHubClient:
    """Calls GitHub. Raises SourceOff for an App that is not configured."""

    def __init__(self, app: GitHubApp, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._app = app
        self._timeout_seconds = timeout_seconds
        self._clients: dict[int, GitHub[AppInstallationAuthStrategy]] = {}
        self._ssl: ssl.SSLContext | None = None

    async def request(
        self,
        installation_id: int,
        method: str,
        path: str,
        *,
        json: Mapping[str, object] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> Json:
        """Make one call as an installation (0: the configured one) and return the parsed answer."""
        installation = self._installation(installation_id)
        client = self._client(installation)
        headers = {"X-GitHub-Api-Version": API_VERSION}
        try:
            # githubkit's own request for a token knows no timeout, so the whole call gets one.
            async with asyncio.timeout(self._timeout_seconds):
                response = await client.arequest(
                    method, path, json=None if json is None else dict(json), params=params, headers=headers
                )
            return response.json()
        except RateLimitExceeded as error:
            delay = min(error.retry_after, RATE_LIMIT_MAX)
            raise VendorRateLimited("GitHub asks to slow down.", retry_after=delay) from None
        except RequestFailed as error:
            status = error.response.status_code
            if status == 401:
                self._clients.pop(installation, None)
            raise _refusal(status) from None
        except (GitHubException, TimeoutError, ValueError):  # ValueError: an answer that is no JSON
            raise VendorUnavailable("GitHub cannot be reached. Try again.") from None

    async def clone_credential(self, run: TaskRun, repository: Repository) -> Credential | None:
        """What git shows when it clones this repository; None where GitHub's App has no say."""
        if self._app.off_reason or urlsplit(repository.clone_url).hostname != self._host():
            return None
        named = run.address.github.installation_id or self._app.installation_id
        return Credential("x-access-token", await self._token(named)) if named else None

    async def _token(self, installation_id: int) -> str:
        path = f"/app/installations/{installation_id}/access_tokens"
        # Read access is all a clone needs, whatever else the installation grants.
        answer = await self.request(installation_id, "POST", path, json={"permissions": {"contents": "read"}})
        return str(answer["token"])

    def _host(self) -> str:
        host = urlsplit(self._app.api_url).hostname or ""
        return host.removeprefix("api.") if host == "api.github.com" else host

    def _installation(self, named: int) -> int:
        if self._app.off_reason:
            raise SourceOff(f"GitHub is off: {self._app.off_reason}.")
        if not (named or self._app.installation_id):
            raise SourceOff("GitHub named no installation and GITHUB_INSTALLATION_ID is not set.")
        return named or self._app.installation_id

    def _client(self, installation: int) -> GitHub[AppInstallationAuthStrategy]:
        if installation not in self._clients:
            if len(self._clients) >= INSTALLATIONS_MAX:
                self._clients.clear()
            # A connection is opened for each call, so at least the certificates are read once.
            self._ssl = self._ssl or httpx.create_ssl_context()
            self._clients[installation] = GitHub(
                AppInstallationAuthStrategy(
                    self._app.app_id, self._app.private_key.get_secret_value(), installation
                ),
                base_url=self._app.api_url,
                timeout=self._timeout_seconds,
                auto_retry=False,
                ssl_verify=self._ssl,
                cache_strategy=MemCacheStrategy(),  # githubkit's default one is shared by the whole process
                http_cache=False,  # its transport forgets the timeout
            )
        return self._clients[installation]


def _refusal(status: int) -> VendorUnavailable | VendorRefused:
    metadata = {"http_status": str(status)}
    if status >= 500 or status in _MAYBE_LATER:
        return VendorUnavailable(f"GitHub answered {status}. Try again.", metadata=metadata)
    return VendorRefused(f"GitHub refused with {status}.", metadata=metadata)
