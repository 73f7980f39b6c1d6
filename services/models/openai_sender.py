"""Sends chat completions to any OpenAI-compatible server. What is sent and read is `openai_adapter`'s."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import UTC, datetime, timedelta

import httpx2
from openai import APIError, APIStatusError, AsyncOpenAI, RateLimitError, Timeout

from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.common.errors import ServiceError
from services.models.domain import ModelEntry
from services.models.errors import ModelContextExceeded, ModelRateLimited, ModelRefused, ModelUnavailable
from services.models.openai_adapter import StreamFold, to_request
from services.models.provider import Generation

# The caller bounds the whole call; these bound silence.
TIMEOUT = Timeout(connect=5.0, read=120.0, write=30.0, pool=5.0)
RATE_LIMIT_DEFAULT = timedelta(seconds=10)
RATE_LIMIT_MAX = timedelta(hours=1)
_MAYBE_LATER = (408, 409, 425)
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class OpenAISender:
    """A provider behind one base URL. Retries nothing; closing a generator closes the connection."""

    def __init__(self, base_url: str, api_key: str) -> None:
        # The SDK insists on a key; a server that asks for none ignores it.
        self._client = AsyncOpenAI(
            base_url=base_url, api_key=api_key or "none", max_retries=0, timeout=TIMEOUT
        )

    async def generate(
        self, request: GenerateRequest, entry: ModelEntry
    ) -> AsyncGenerator[str | Generation, None]:
        """Run one call. Raises the errors of `errors.py`."""
        body, fold, waited = to_request(request, entry), StreamFold(request), 0.0
        try:
            asked = time.monotonic()
            async with await self._client.chat.completions.create(**body) as chunks:
                async for chunk in chunks:
                    waited += time.monotonic() - asked
                    text = fold.add(chunk)
                    if text:
                        yield text
                    asked = time.monotonic()
        except (APIError, httpx2.HTTPError, ValueError) as error:  # ValueError: a chunk that is no JSON
            raise to_error(error, entry) from None
        yield fold.finish(entry, waited_seconds=waited)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


def to_error(error: Exception, entry: ModelEntry) -> ServiceError:
    """Say in our words what went wrong. The provider's text stays out; its status and code come along."""
    if not isinstance(error, APIStatusError):
        return ModelUnavailable(f"The provider of {entry.alias} cannot be reached, or broke off. Try again.")
    status, code = error.status_code, error.code or ""
    metadata = {"http_status": str(status)}
    if _CODE.fullmatch(code):
        metadata["provider_code"] = code
    if isinstance(error, RateLimitError):
        delay = retry_after(error.response.headers, lambda: datetime.now(UTC))
        message = f"The provider of {entry.alias} asks to slow down."
        return ModelRateLimited(message, metadata=metadata, retry_after=delay)
    if status >= 500 or status in _MAYBE_LATER:
        return ModelUnavailable(
            f"The provider of {entry.alias} answered {status}. Try again.", metadata=metadata
        )
    if code == "context_length_exceeded":
        return ModelContextExceeded(f"The conversation no longer fits {entry.alias}.", metadata=metadata)
    return ModelRefused(f"The provider of {entry.alias} refused the request ({status}).", metadata=metadata)


def retry_after(headers: Mapping[str, str], now: Callable[[], datetime]) -> timedelta:
    """How long a rate limit lasts: retry-after-ms, retry-after as seconds or a date, or a default."""
    delay = RATE_LIMIT_DEFAULT
    milliseconds, seconds = headers.get("retry-after-ms", ""), headers.get("retry-after", "")
    if milliseconds.isdecimal():
        delay = timedelta(milliseconds=min(int(milliseconds), RATE_LIMIT_MAX // timedelta(milliseconds=1)))
    elif seconds.isdecimal():
        delay = timedelta(seconds=min(int(seconds), RATE_LIMIT_MAX // timedelta(seconds=1)))
    elif seconds:
        try:
            delay = email.utils.parsedate_to_datetime(seconds) - now()
        except (ValueError, TypeError):  # no date, or one without a time zone
            delay = RATE_LIMIT_DEFAULT
    return min(max(delay, timedelta()), RATE_LIMIT_MAX)
