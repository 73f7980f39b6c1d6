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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import aiohttp
from pydantic import SecretStr

from services.tools.bounded import bounded
from services.tools.pace import Pace
from services.tools.vendor_errors import SourceOff, VendorRateLimited, VendorRefused, VendorUnavailable
from services.tools.vendor_limits import Use, docs_uses, drive_uses

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
_OF_DOCS = "v1/documents"
"""How the paths of the Docs API begin, which has an address of its own."""
Json = Any


@dataclass(frozen=True, slots=True)
class GoogleAccount:
    """The account we are on Google, and the OAuth client that was let in to it."""

    api_url: str
    docs_url: str
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

    def url_of(self, path: str) -> str:
        """Where a path of one of the APIs is, as in "drive/v3/files" or "v1/documents/…"."""
        base = self.docs_url if path.startswith(_OF_DOCS) else self.api_url
        return f"{base.rstrip('/')}/{path}"

    def uses_of(self, method: str, path: str) -> Sequence[Use]:
        """What a call takes from the account's limits."""
        token = self.refresh_token.get_secret_value()
        return docs_uses(self.docs_url, token, method) if path.startswith(_OF_DOCS) else drive_uses(token)


@dataclass(frozen=True, slots=True)
class Answer:
    """What Google answered."""

    status: int
    headers: Mapping[str, str]
    body: Json


class GoogleClient:
    """Calls Google. Raises SourceOff for an account that is not configured or took its consent back."""

    def __init__(
        self, account: GoogleAccount, *, pace: Pace | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.account = account
        self._pace = pace or Pace()
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._token, self._token_until = "", 0.0
        self._signing_in = asyncio.Lock()
        self._email = ""

    async def read(self, path: str, *, fields: str, **params: str | int) -> Json:
        """Get what is at a path below an API's address, as in "drive/v3/files/…". `fields`: what of it."""
        return await self._call("GET", path, params={"fields": fields, **params})

    async def write(
        self, path: str, body: Mapping[str, object], *, fields: str = "", **params: str | int
    ) -> Json:
        """Post something. After VendorUnavailable it may be done or not."""
        return await self._call(
            "POST", path, params={**({"fields": fields} if fields else {}), **params}, json=body
        )

    async def upload(
        self, path: str, body: Mapping[str, object], content: str, content_type: str, *, fields: str
    ) -> Json:
        """Post something with a text, in one request. After VendorUnavailable it may be done or not."""
        with aiohttp.MultipartWriter("related") as parts:
            parts.append_json(body)
            parts.append(content, {"Content-Type": content_type})
        params = {"uploadType": "multipart", "fields": fields, "supportsAllDrives": "true"}
        return await self._call("POST", f"upload/{path}", params=params, data=parts)

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
        **body: object,
    ) -> Json:
        if self.account.off_reason:
            raise SourceOff(f"Google is off: {self.account.off_reason}.")
        async with self._pace.keeping("Google", self.account.uses_of(method, path)):
            return await self._signed(method, path, params=params, **body)

    async def _signed(
        self, method: str, path: str, *, params: Mapping[str, str | int], **body: object
    ) -> Json:
        token = await self._access_token()
        headers = {"Authorization": f"Bearer {token}"}
        url = self.account.url_of(path)
        answer = await self._send(method, url, params=params, headers=headers, **body)
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
                f"Google does not let us in ({code}): the refresh token (GOOGLE_REFRESH_TOKEN, or the "
                "vault's) needs the account's consent anew, see docs/google-drive.md.",
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
    """Google's code of a failure: Drive lists it among errors, Docs among details or as a status."""
    error = body.get("error") if isinstance(body, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    if not isinstance(error, dict):
        return ""
    told = cast("dict[str, Json]", error)
    for listed in (told.get("errors"), told.get("details")):
        for each in cast("list[Json]", listed) if isinstance(listed, list) else ():
            if isinstance(each, dict) and "reason" in each:
                return str(cast("Json", each)["reason"])[:100]
    return str(told.get("status") or "")[:100]


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
