"""Sends Messages calls to Anthropic by its SDK. What is sent and read is `anthropic_adapter`'s."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx2
from anthropic import APIConnectionError, APIError, APIStatusError, AsyncAnthropic, Timeout
from anthropic.types import RawMessageStreamEvent

from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.common.errors import ServiceError
from services.models.anthropic_adapter import EventFold, to_count_request, to_request
from services.models.counting import COUNT_SECONDS_MAX
from services.models.dialogue import Json
from services.models.domain import ModelEntry
from services.models.errors import ModelUnavailable
from services.models.patience import Patience
from services.models.provider import Piece
from services.models.refusals import NEVER_REACHED, broken_off, refusal

BASE_URL = "https://api.anthropic.com"
TIMEOUT = Timeout(connect=5.0, read=None, write=30.0, pool=5.0)
"""Silence is `Patience`'s to cut; the caller bounds the whole call."""
STATUS_BY_TYPE = {"rate_limit_error": 429, "overloaded_error": 529, "invalid_request_error": 400}
"""What an error within a stream counts as: its answer was 200. Others count as 500."""


class AnthropicSender:
    """The provider behind Anthropic's API. Repeats nothing; closing a generator closes the connection."""

    def __init__(self, api_key: str, base_url: str = "") -> None:
        self._client = AsyncAnthropic(
            api_key=api_key, base_url=base_url or BASE_URL, max_retries=0, timeout=TIMEOUT
        )

    async def generate(self, request: GenerateRequest, entry: ModelEntry) -> AsyncGenerator[Piece, None]:
        """Run one call. Raises the errors of `errors.py`."""
        body, fold, patience = to_request(request, entry), EventFold(request, entry), Patience(entry)
        try:
            async with aclosing(patience.with_events(self._events(body))) as events:
                async for event in events:
                    for piece in fold.add(event):
                        yield piece
        except (APIError, httpx2.HTTPError, ValueError) as error:  # ValueError: an event that is no JSON
            raise to_error(error, entry) from None
        yield fold.finish(waited_seconds=patience.waited_seconds)

    async def count_tokens(self, request: GenerateRequest, entry: ModelEntry) -> object:
        """Have Anthropic count what a call would read. Raises the errors of `errors.py`."""
        try:
            counted = await self._client.messages.count_tokens(
                **to_count_request(request, entry), timeout=COUNT_SECONDS_MAX
            )
        except (APIError, httpx2.HTTPError, ValueError) as error:
            raise to_error(error, entry) from None
        return getattr(counted, "input_tokens", None)

    async def _events(self, body: Json) -> AsyncGenerator[RawMessageStreamEvent, None]:
        async with await self._client.messages.create(**body, stream=True) as events:
            async for event in events:
                yield event

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


def to_error(error: Exception, entry: ModelEntry) -> ServiceError:
    """Say in our words what went wrong."""
    if not isinstance(error, APIError) or isinstance(error, APIConnectionError):
        return broken_off(entry.alias, reached=not isinstance(error.__cause__, NEVER_REACHED))
    if not isinstance(error, APIStatusError):
        return ModelUnavailable(f"The answer of {entry.alias} makes no sense. Try again.")
    code = error.type or ""
    status = error.status_code if error.status_code >= 400 else STATUS_BY_TYPE.get(code, 500)
    text = error.api_message or ""
    at_once = status == error.status_code
    return refusal(entry.alias, status, code=code, text=text, headers=error.response.headers, at_once=at_once)
