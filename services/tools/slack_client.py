"""Slack's Web API as our app's bot, through Slack's own SDK.

One call here is one request: nothing is retried, and every failure is one of `vendor_errors`, without
Slack's text and without what was sent. Slack says what went wrong with a code, which is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from services.tools.bounded import bounded
from services.tools.pace import Pace
from services.tools.vendor_errors import SourceOff, VendorRateLimited, VendorRefused, VendorUnavailable
from services.tools.vendor_limits import slack_uses

TIMEOUT_SECONDS = 10.0
RATE_LIMIT_MAX = timedelta(hours=1)
RATE_LIMIT_UNTOLD = timedelta(seconds=30)
PEOPLE_MAX = 10_000
PERSON_SECONDS = 300.0
ERROR_FIELD = "slack_error"
_MAYBE_DONE = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
_RATE_LIMITED = frozenset({"rate_limited", "ratelimited"})
Json = Any


@dataclass(frozen=True, slots=True)
class SlackApp:
    """The app's installation in one workspace."""

    api_url: str
    bot_token: SecretStr

    @property
    def off_reason(self) -> str:
        """What is missing. Empty: it can be used."""
        return "" if self.bot_token.get_secret_value() else "SLACK_BOT_TOKEN is not set"


@dataclass(frozen=True, slots=True)
class Me:
    """Who the token speaks for. `url` is the workspace's own address, with a slash at its end."""

    team_id: str
    enterprise_id: str
    user_id: str
    bot_id: str
    url: str

    def permalink(self, channel: str, ts: str, thread_ts: str) -> str:
        """The link Slack itself gives a message, made without asking for each."""
        link = f"{self.url}archives/{channel}/p{ts.replace('.', '')}"
        return link if ts == thread_ts else f"{link}?thread_ts={thread_ts}&cid={channel}"


class _Answer(aiohttp.ClientResponse):
    """One that the SDK cannot read without end."""

    async def read(self) -> bytes:
        """Read the body once."""
        if self._body is None:
            self._body = await bounded(self, "Slack")
        return self._body


class SlackClient:
    """Calls Slack. Raises SourceOff for an app that is not configured."""

    def __init__(
        self, app: SlackApp, *, pace: Pace | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._app = app
        self._pace = pace or Pace()
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None
        self._me: Me | None = None
        self._people: dict[str, tuple[float, Json]] = {}

    async def read(self, method: str, **arguments: str | int | bool) -> Json:
        """Call a method that changes nothing; its arguments travel in the query, as those methods want."""
        return await self._call(method, http_verb="GET", params=arguments)

    async def write(self, method: str, **arguments: object) -> Json:
        """Call a method that does something. After VendorUnavailable it may be done or not."""
        return await self._call(method, json=arguments)

    async def me(self) -> Me:
        """Who we are there: asked once, because a token never changes hands."""
        if self._me is None:
            told = await self.read("auth.test")
            self._me = Me(
                team_id=told["team_id"],
                enterprise_id=told.get("enterprise_id") or "",
                user_id=told["user_id"],
                bot_id=told.get("bot_id") or "",
                url=told["url"],
            )
        return self._me

    async def person(self, user_id: str) -> Json:
        """What `users.info` says of somebody, remembered for PERSON_SECONDS."""
        until, known = self._people.get(user_id, (0.0, None))
        if until > time.monotonic():
            return known
        told = (await self.read("users.info", user=user_id))["user"]
        if len(self._people) >= PEOPLE_MAX:
            self._people.clear()
        self._people[user_id] = (time.monotonic() + PERSON_SECONDS, told)
        return told

    async def aclose(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()

    async def _call(self, method: str, **request: Json) -> Json:
        if self._app.off_reason:
            raise SourceOff(f"Slack is off: {self._app.off_reason}.")
        uses = slack_uses(self._app.api_url, self._app.bot_token.get_secret_value(), method)
        async with self._pace.keeping("Slack", uses):
            return await self._sent(method, **request)

    async def _sent(self, method: str, **request: Json) -> Json:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._client().api_call(method, **request)
            return answer.data
        except SlackApiError as error:
            raise _refusal(error.response) from None
        # AttributeError: the SDK looks into an answer that is no object. ValueError: one that is no JSON.
        except (SlackClientError, aiohttp.ClientError, TimeoutError, ValueError, AttributeError):
            raise VendorUnavailable("Slack cannot be reached. Try again.") from None

    def _client(self) -> AsyncWebClient:
        """Its connections are ours to keep: by itself the SDK opens one for each call."""
        self._session = self._session or aiohttp.ClientSession(response_class=_Answer)
        return AsyncWebClient(
            token=self._app.bot_token.get_secret_value(),
            base_url=f"{self._app.api_url.rstrip('/')}/",
            session=self._session,
            retry_handlers=[],  # its own ones repeat after a lost connection, when the post may be there
        )


def is_refusal(error: VendorRefused, code: str) -> bool:
    """Whether Slack refused with this code."""
    return error.metadata.get(ERROR_FIELD) == code


def _refusal(response: Json) -> VendorUnavailable | VendorRefused | VendorRateLimited:
    """`response` is the SDK's, or aiohttp's where the SDK could not read it."""
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0))
    told = getattr(response, "data", None)
    code = str(told.get("error", "")) if isinstance(told, dict) else ""  # pyright: ignore[reportUnknownMemberType,reportUnknownArgumentType]
    if status == 429 or code in _RATE_LIMITED:
        return VendorRateLimited("Slack asks to slow down.", retry_after=_delay(response.headers))
    metadata = {"http_status": str(status), ERROR_FIELD: code[:100]}
    if status != 200 or not code or code in _MAYBE_DONE:
        return VendorUnavailable(f"Slack answered {status} {code}".rstrip() + ".", metadata=metadata)
    return VendorRefused(f"Slack refused with {code[:100]}.", metadata=metadata)


def _delay(headers: Mapping[str, str]) -> timedelta:
    told = headers.get("Retry-After", "")
    known = told.isascii() and told.isdecimal()
    return min(timedelta(seconds=int(told[:9])), RATE_LIMIT_MAX) if known else RATE_LIMIT_UNTOLD
