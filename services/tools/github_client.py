"""GitHub's REST API as a GitHub App, one client an installation; tokens are made and kept by githubkit.

One call here is one request: nothing is retried, and every failure is one of `vendor_errors`, without
GitHub's text and without what was sent.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from githubkit import AppAuthStrategy, AppInstallationAuthStrategy, GitHub, Response
from githubkit.cache import MemCacheStrategy
from githubkit.exception import GitHubException, RateLimitExceeded, RequestError, RequestFailed
from pydantic import SecretStr

from aucert.astra.v1.repository_pb2 import Repository
from aucert.astra.v1.task_run_pb2 import TaskRun
from services.tools.git import Credential
from services.tools.pace import Pace
from services.tools.vendor_errors import SourceOff, VendorRateLimited, VendorRefused, VendorUnavailable
from services.tools.vendor_limits import Use, github_uses

TIMEOUT_SECONDS = 10.0
CALLS_AT_ONCE = 20
"""Of the 100 GitHub lets an App make at the same time, those of one process."""
INSTALLATIONS_MAX = 1_000
CLIENTS_MAX = 1_000
FIELDS_MAX = 5
RATE_LIMIT_MAX = timedelta(hours=1)
API_VERSION = "2022-11-28"
_WORD = re.compile(r"[A-Za-z_]{1,60}")
_MAYBE_LATER = (401, 408)  # 401: the token was revoked or outlived; the next call makes a new one
AuthT = TypeVar("AuthT", AppInstallationAuthStrategy, AppAuthStrategy)
Json = Any


@dataclass(frozen=True, slots=True)
class Reach:
    """What a token is limited to: one repository, and what it may do there, as in (("issues", "read"),)."""

    repository: str
    permissions: tuple[tuple[str, str], ...]


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

    @property
    def graphql_path(self) -> str:
        """Where GraphQL answers: below the REST API, but beside that of a GitHub Enterprise Server."""
        enterprise, found, _ = self.api_url.rstrip("/").rpartition("/api/v3")
        return f"{enterprise}/api/graphql" if found else "/graphql"


class GitHubClient:
    """Calls GitHub. Raises SourceOff for an App that is not configured."""

    def __init__(
        self, app: GitHubApp, *, pace: Pace | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.graphql_path = app.graphql_path
        self._app = app
        self._pace = pace or Pace()
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)
        self._timeout_seconds = timeout_seconds
        self._clients: dict[tuple[int, Reach | None], GitHub[AppInstallationAuthStrategy]] = {}
        self._installations: dict[str, int] = {}
        self._ssl: ssl.SSLContext | None = None

    async def request(
        self,
        installation_id: int,
        method: str,
        path: str,
        *,
        json: Mapping[str, object] | None = None,
        params: Mapping[str, str | int] | None = None,
        reach: Reach | None = None,
        accept: str = "application/vnd.github+json",
    ) -> Json:
        """Make one call as an installation (0: the configured one) and return the parsed answer.

        Its token can do what `reach` says and no more; None: all that was granted to the installation.
        """
        key = (self._installation(installation_id), reach)
        try:
            async with self._pace.keeping("GitHub", self._uses(key[0], method, path)):
                sent = await self._sent(
                    self._client(*key), method, path, json=json, params=params, accept=accept
                )
            return sent.json()
        except RequestFailed as error:
            if error.response.status_code == 401:
                self._clients.pop(key, None)
            if error.response.url.path.endswith(f"/app/installations/{key[0]}/access_tokens"):
                self._forget_installation(key[0])
            raise _refusal(error.response) from None

    async def installation_of(self, repository: str) -> int:
        """The installation that covers a repository: the configured one, or the one GitHub knows of.

        Raises VendorRefused where the App is not installed.
        """
        known = self._app.installation_id or self._installations.get(repository.lower(), 0)
        if known or self._app.off_reason:
            return known
        found = (await self.as_app("GET", f"/repos/{repository}/installation")).json()
        if len(self._installations) >= INSTALLATIONS_MAX:
            self._installations.clear()
        self._installations[repository.lower()] = int(found["id"])
        return int(found["id"])

    def _forget_installation(self, installation_id: int) -> None:
        """It gives out no token: taken away, or made anew under another id, which is then asked for."""
        known = self._installations.items()
        self._installations = {name: number for name, number in known if number != installation_id}

    async def as_app(
        self, method: str, path: str, *, params: Mapping[str, str | int] | None = None
    ) -> Response[Any]:
        """Make one call as the App itself: about its webhook and where it is installed."""
        if self._app.off_reason:
            raise SourceOff(f"GitHub is off: {self._app.off_reason}.")
        strategy = AppAuthStrategy(self._app.app_id, self._app.private_key.get_secret_value())
        try:
            async with self._pace.keeping("GitHub", self._uses(0, method, path)):
                return await self._sent(self._github(strategy), method, path, params=params)
        except RequestFailed as error:
            raise _refusal(error.response) from None

    async def _sent(
        self,
        client: GitHub[Any],
        method: str,
        path: str,
        *,
        json: Mapping[str, object] | None = None,
        params: Mapping[str, str | int] | None = None,
        accept: str = "application/vnd.github+json",
    ) -> Response[Any]:
        """One request. A refusal leaves as RequestFailed, all else as one of `vendor_errors`."""
        headers = {"X-GitHub-Api-Version": API_VERSION, "Accept": accept}
        try:
            # githubkit's own request for a token knows no timeout, so the whole call gets one.
            async with self._places, asyncio.timeout(self._timeout_seconds):
                with _unwrapped():
                    response = await client.arequest(
                        method,
                        path,
                        json=None if json is None else dict(json),
                        params=params,
                        headers=headers,
                    )
            response.json()  # what is no JSON is no answer
            return response
        except RateLimitExceeded as error:
            delay = min(error.retry_after, RATE_LIMIT_MAX)
            raise VendorRateLimited("GitHub asks to slow down.", retry_after=delay) from None
        except RequestFailed:
            raise
        except (GitHubException, TimeoutError, ValueError):  # ValueError: an answer that is no JSON
            raise VendorUnavailable("GitHub cannot be reached. Try again.") from None

    async def clone_credential(self, run: TaskRun, repository: Repository) -> Credential | None:
        """What git shows when it clones this repository; None where GitHub's App has no say."""
        if self._app.off_reason or urlsplit(repository.clone_url).hostname != self._host():
            return None
        named = run.address.github.installation_id or self._app.installation_id
        return Credential("x-access-token", await self._token(named, repository)) if named else None

    async def _token(self, installation_id: int, repository: Repository) -> str:
        """A token for one clone: git has it in a process of its own, so it can read that repository alone."""
        name = urlsplit(repository.clone_url).path.rpartition("/")[2].removesuffix(".git")
        path = f"/app/installations/{installation_id}/access_tokens"
        limited = {"repositories": [name], "permissions": {"contents": "read"}}
        return str((await self.request(installation_id, "POST", path, json=limited))["token"])

    def _uses(self, installation_id: int, method: str, path: str) -> Sequence[Use]:
        return github_uses(self._app.api_url, self._app.app_id, installation_id, method, path)

    def _host(self) -> str:
        host = urlsplit(self._app.api_url).hostname or ""
        return host.removeprefix("api.") if host == "api.github.com" else host

    def _installation(self, named: int) -> int:
        if self._app.off_reason:
            raise SourceOff(f"GitHub is off: {self._app.off_reason}.")
        if not (named or self._app.installation_id):
            raise SourceOff("GitHub named no installation and GITHUB_INSTALLATION_ID is not set.")
        return named or self._app.installation_id

    def _client(self, installation: int, reach: Reach | None) -> GitHub[AppInstallationAuthStrategy]:
        key = (installation, reach)
        if key not in self._clients:
            if len(self._clients) >= CLIENTS_MAX:
                self._clients.clear()
            limited: Any = (
                {"repositories": [reach.repository.partition("/")[2]], "permissions": dict(reach.permissions)}
                if reach
                else {}
            )
            secret = self._app.private_key.get_secret_value()
            auth = AppInstallationAuthStrategy(self._app.app_id, secret, installation, **limited)
            self._clients[key] = self._github(auth)
        return self._clients[key]

    def _github(self, auth: AuthT) -> GitHub[AuthT]:
        # A connection is opened for each call, so at least the certificates are read once.
        self._ssl = self._ssl or httpx.create_ssl_context()
        return GitHub(
            auth,
            base_url=self._app.api_url,
            timeout=self._timeout_seconds,
            auto_retry=False,
            ssl_verify=self._ssl,
            cache_strategy=MemCacheStrategy(),  # githubkit's default one is shared by the whole process
            http_cache=False,  # its transport forgets the timeout
        )


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Let what GitHub answered to the request for a token look as what it answers to any other."""
    try:
        yield
    except RequestError as error:
        raise error.exc if isinstance(error.exc, RequestFailed) else error from None


def _refusal(answer: Response[Any]) -> VendorUnavailable | VendorRefused:
    status = answer.status_code
    metadata = {"http_status": str(status)}
    if status >= 500 or status in _MAYBE_LATER:
        return VendorUnavailable(f"GitHub answered {status}. Try again.", metadata=metadata)
    if urlsplit(str(answer.url)).path.endswith("/access_tokens"):
        metadata["asked_for"] = "token"
        return VendorRefused(
            f"GitHub gives the App no token for this ({status}): the App is not installed there, or lacks "
            "the permission. An operator can see to it; `astra doctor --source github` says more.",
            metadata=metadata,
        )
    if fields := _fields(answer):
        metadata["fields"] = fields
    return VendorRefused(f"GitHub refused with {status}{fields and f' ({fields})'}.", metadata=metadata)


def _fields(answer: Response[Any]) -> str:
    """What GitHub says is wrong with which field, in its code words; its sentences stay out."""
    try:
        told = [(str(each["field"]), str(each["code"])) for each in answer.json()["errors"]]
    except (ValueError, LookupError, TypeError):
        return ""
    words = [f"{field}: {code}" for field, code in told[:FIELDS_MAX] if _WORD.fullmatch(f"{field}{code}")]
    return ", ".join(words)
