"""Brave's web search: one request a call, nothing is retried, no other address is ever asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import aiohttp
from pydantic import SecretStr

from services.tools.bounded import bounded
from services.tools.pace import Pace
from services.tools.vendor_errors import SourceOff, VendorRateLimited, VendorRefused, VendorUnavailable
from services.tools.vendor_limits import brave_uses

TIMEOUT_SECONDS = 15.0
RATE_LIMIT_MAX = timedelta(days=31)
RATE_LIMIT_UNTOLD = timedelta(seconds=2)
_KEY_REFUSED = frozenset({"SUBSCRIPTION_TOKEN_INVALID", "SUBSCRIPTION_NOT_FOUND", "OPTION_NOT_IN_PLAN"})
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BraveSubscription:
    """Our key to the API at an address."""

    api_url: str
    api_key: SecretStr

    @property
    def off_reason(self) -> str:
        """What is missing. Empty: it can be used."""
        return "" if self.api_key.get_secret_value() else "not set: BRAVE_API_KEY"


class BraveClient:
    """Asks Brave. Raises SourceOff without a key, and the errors of `vendor_errors`."""

    def __init__(
        self,
        subscription: BraveSubscription,
        *,
        pace: Pace | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._subscription = subscription
        self._pace = pace or Pace()
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def search(self, query: str, **params: str | int) -> Json:
        """What Brave's web search answers; any section of it may be missing."""
        subscription = self._subscription
        if subscription.off_reason:
            raise SourceOff(f"Web search is off: {subscription.off_reason}.")
        async with self._pace.keeping("Brave", brave_uses(subscription.api_key.get_secret_value())):
            return await self._sent(subscription, {"q": query, **params})

    async def _sent(self, subscription: BraveSubscription, params: Mapping[str, str | int]) -> Json:
        self._session = self._session or aiohttp.ClientSession(timeout=self._timeout)
        url = f"{subscription.api_url.rstrip('/')}/res/v1/web/search"
        headers = {
            "Accept": "application/json",
            "X-Subscription-Token": subscription.api_key.get_secret_value(),
        }
        try:
            async with self._session.get(
                url, params=params, headers=headers, allow_redirects=False
            ) as response:
                body = _parsed(await bounded(response, "Brave"))
        except (aiohttp.ClientError, TimeoutError):
            raise VendorUnavailable("Brave cannot be reached. Try again.") from None
        if response.status == 200:
            return body
        raise _refusal(response.status, response.headers, body)

    async def aclose(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()


def _parsed(body: bytes) -> Json:
    """The answer's object; an empty one for what is none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("Json", told) if isinstance(told, dict) else {}


def _refusal(
    status: int, headers: Mapping[str, str], body: Json
) -> VendorUnavailable | VendorRefused | VendorRateLimited:
    if status == 429:
        return VendorRateLimited("Brave asks to slow down.", retry_after=_delay(headers))
    if status >= 500 or status == 408:
        return VendorUnavailable(f"Brave answered {status}. Try again.")
    error = body.get("error")
    code = str(cast("Json", error).get("code", ""))[:100] if isinstance(error, dict) else ""
    metadata = {"http_status": str(status), "brave_code": code}
    if status in (401, 403) or code in _KEY_REFUSED:
        return VendorRefused(
            f"Brave does not take BRAVE_API_KEY, or the vault's in its place ({status} {code}).",
            metadata=metadata,
        )
    return VendorRefused(f"Brave refused with {status} {code}".rstrip() + ".", metadata=metadata)


def _delay(headers: Mapping[str, str]) -> timedelta:
    """Until the last of the windows that are used up begins anew; one entry a window, in seconds from now."""
    left, resets = (_numbers(headers.get(f"X-RateLimit-{name}", "")) for name in ("Remaining", "Reset"))
    used_up = [reset for rest, reset in zip(left, resets, strict=False) if rest <= 0]
    waits = used_up or _numbers(headers.get("Retry-After", ""))
    return min(timedelta(seconds=max(waits)), RATE_LIMIT_MAX) if waits else RATE_LIMIT_UNTOLD


def _numbers(told: str) -> list[int]:
    parts = [each.strip()[:9] for each in told.split(",")]
    return [int(each) for each in parts if each.isascii() and each.isdecimal()]
