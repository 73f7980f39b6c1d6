"""Google's APIs as one account, signed in by a refresh token.

Google's own client is synchronous and brings 100 MB of descriptions of APIs; this one speaks the few methods
we call, and the tests hold it against an excerpt of those descriptions. One call here is one request: nothing
is retried, and every failure is one of `vendor_errors`, without Google's text and without what was sent.
Google says what went wrong with a reason, which is kept.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import aiohttp
from pydantic import SecretStr

from services.tools.bounded import bounded
from services.tools.vendor_errors import SourceOff, VendorRateLimited, VendorRefused, VendorUnavailable

TIMEOUT_SECONDS = 15.0
RATE_LIMIT_MAX = timedelta(hours=1)
RATE_LIMIT_UNTOLD = timedelta(seconds=30)
TOKEN_SECONDS = 300.0
"""How long a token is used when Google does not say."""
TOKEN_MARGIN_SECONDS = 60.0
KEYS_SECONDS_MAX = 24 * 3600.0
REASON_FIELD = "google_reason"
_RATE_LIMITED = frozenset(
    {"rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded", "quotaExceeded"}
)
_NOT_SET_UP = "accessNotConfigured"
"""The project behind our client has the API switched off, or not yet on: nothing about what was asked."""
_SIGN_IN_LATER = frozenset({"internal_failure", "server_error", "temporarily_unavailable"})
Json = Any


@dataclass(frozen=True, slots=True)
class GoogleAccount:
    """The account we are on Google, and the OAuth client that was let in to it."""

    api_url: str
    token_url: str
    certs_url: str
    client_id: str
    client_secret: SecretStr
    refresh_token: SecretStr

    @property
    def off_reason(self) -> str:
        """What is missing. Empty: it can be used."""
        needed = {
            "GOOGLE_CLIENT_ID": self.client_id,
            "GOOGLE_CLIENT_SECRET": self.client_secret.get_secret_value(),
            "GOOGLE_REFRESH_TOKEN": self.refresh_token.get_secret_value(),
        }
        missing = [name for name, value in needed.items() if not value]
        return f"not set: {', '.join(missing)}" if missing else ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Google answered."""

    status: int
    headers: Mapping[str, str]
    body: Json


class GoogleClient:
    """Calls Google. Raises SourceOff for an account that is not configured or took its consent back."""

    def __init__(self, account: GoogleAccount, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self.account = account
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._token, self._token_until = "", 0.0
        self._signing_in = asyncio.Lock()
        self._email = ""

    async def read(self, path: str, *, fields: str, **params: str | int) -> Json:
        """Get what is at a path below the API's address, as in "drive/v3/files/…". `fields`: what of it."""
        return await self._call("GET", path, params={"fields": fields, **params})

    async def write(
        self, path: str, body: Mapping[str, object], *, fields: str = "", **params: str | int
    ) -> Json:
        """Post something. After VendorUnavailable it may be done or not."""
        return await self._call(
            "POST", path, params={**({"fields": fields} if fields else {}), **params}, body=body
        )

    async def email(self) -> str:
        """The account's own address, in small letters: asked once, because a token never changes hands."""
        if not self._email:
            told = await self.read("drive/v3/about", fields="user(emailAddress)")
            self._email = str(told["user"].get("emailAddress") or "").lower()
        return self._email

    async def signing_keys(self) -> tuple[list[Json], float]:
        """Google's public keys as JSON web keys, and for how many seconds they hold."""
        answer = await self._send("GET", self.account.certs_url)
        if answer.status != 200 or not isinstance(answer.body, dict):
            raise VendorUnavailable("Google's keys cannot be read. Try again.")
        return cast("Json", answer.body)["keys"], _max_age(answer.headers)

    async def aclose(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int],
        body: Mapping[str, object] | None = None,
    ) -> Json:
        if self.account.off_reason:
            raise SourceOff(f"Google is off: {self.account.off_reason}.")
        token = await self._access_token()
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.account.api_url.rstrip('/')}/{path}"
        answer = await self._send(method, url, params=params, json=body, headers=headers)
        if answer.status == 401 and token == self._token:
            self._token = ""  # revoked or outlived: the next call asks for another
        if 200 <= answer.status < 300:
            return answer.body
        raise _refusal(answer)

    async def _access_token(self) -> str:
        async with self._signing_in:
            if not self._token or time.monotonic() >= self._token_until:
                self._token, seconds = await self._sign_in()
                self._token_until = time.monotonic() + seconds - TOKEN_MARGIN_SECONDS
            return self._token

    async def _sign_in(self) -> tuple[str, float]:
        account = self.account
        form = {
            "grant_type": "refresh_token",
            "client_id": account.client_id,
            "client_secret": account.client_secret.get_secret_value(),
            "refresh_token": account.refresh_token.get_secret_value(),
        }
        answer = await self._send("POST", account.token_url, data=form)
        told = cast("Json", answer.body) if isinstance(answer.body, dict) else {}
        if answer.status == 200 and isinstance(told.get("access_token"), str):
            seconds = told.get("expires_in")
            return told["access_token"], float(seconds) if isinstance(seconds, int) else TOKEN_SECONDS
        code = str(told.get("error", ""))[:100]
        if answer.status in (400, 401) and code not in _SIGN_IN_LATER:
            raise SourceOff(
                f"Google does not let us in ({code}): GOOGLE_REFRESH_TOKEN needs the account's consent anew.",
                metadata={REASON_FIELD: code},
            )
        raise VendorUnavailable("Google's sign-in cannot be reached. Try again.")

    async def _send(self, method: str, url: str, **request: Json) -> Answer:
        self._session = self._session or aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.request(method, url, allow_redirects=False, **request) as response:
                return Answer(response.status, response.headers, await _parsed(response))
        except (aiohttp.ClientError, TimeoutError):
            raise VendorUnavailable("Google cannot be reached. Try again.") from None


def is_refusal(error: VendorRefused, status: int) -> bool:
    """Whether Google refused with this HTTP status."""
    return error.metadata.get("http_status") == str(status)


async def _parsed(response: aiohttp.ClientResponse) -> Json:
    """The answer as JSON; None for an empty one and for what is no JSON."""
    body = await bounded(response, "Google")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _refusal(answer: Answer) -> VendorUnavailable | VendorRefused | VendorRateLimited:
    reason = _reason(answer.body)
    if answer.status == 429 or reason in _RATE_LIMITED:
        return VendorRateLimited("Google asks to slow down.", retry_after=_delay(answer.headers))
    metadata = {"http_status": str(answer.status), REASON_FIELD: reason}
    # 401: the token outlived its time or was revoked; the next call makes a new one.
    if answer.status >= 500 or answer.status in (401, 408) or reason == _NOT_SET_UP:
        return VendorUnavailable(f"Google answered {answer.status}. Try again.", metadata=metadata)
    return VendorRefused(f"Google refused with {answer.status} {reason}".rstrip() + ".", metadata=metadata)


def _reason(body: Json) -> str:
    try:
        return str(body["error"]["errors"][0]["reason"])[:100]
    except (LookupError, TypeError):
        return ""


def _delay(headers: Mapping[str, str]) -> timedelta:
    told = headers.get("Retry-After", "")
    known = told.isascii() and told.isdecimal()
    return min(timedelta(seconds=int(told[:9])), RATE_LIMIT_MAX) if known else RATE_LIMIT_UNTOLD


def _max_age(headers: Mapping[str, str]) -> float:
    for part in headers.get("Cache-Control", "").split(","):
        name, _, value = part.strip().partition("=")
        if name == "max-age" and value.isascii() and value.isdecimal():
            return min(float(value[:9]), KEYS_SECONDS_MAX)
    return TOKEN_SECONDS
