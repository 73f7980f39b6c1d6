"""Sends chat completions to an OpenAI-compatible server. What is sent and read is `openai_adapter`'s."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx2
from httpx2 import Headers
from openai import APIConnectionError, APIError, APIStatusError, AsyncOpenAI, AsyncStream, Timeout

from aucert.models.v1.model_service_pb2 import GenerateRequest
from services.common.errors import ServiceError
from services.models.dialogue import Json
from services.models.domain import Dialect, ModelEntry, Named
from services.models.openai_adapter import Object, StreamFold, to_request
from services.models.patience import Patience
from services.models.provider import Piece
from services.models.refusals import NEVER_REACHED, broken_off, refusal

TIMEOUT = Timeout(connect=5.0, read=None, write=30.0, pool=5.0)
"""Silence is `Patience`'s to cut; the caller bounds the whole call."""
UNHEARD_SECONDS_MAX = 1.0
"""A connection that ends unanswered so soon was closed before the request came, as llama.cpp closes some."""
IN_STREAM_STATUS = 500
"""What an error within a stream counts as, where its code says nothing better: the answer was 200."""


class OpenAISender:
    """A provider behind one base URL. Repeats nothing; closing a generator closes the connection."""

    def __init__(self, base_url: str, api_key: str, dialect: Dialect | None = None) -> None:
        # The SDK insists on a key; a server that asks for none ignores it.
        self._client = AsyncOpenAI(
            base_url=base_url, api_key=api_key or "none", max_retries=0, timeout=TIMEOUT
        )
        self._dialect = dialect or Dialect()

    async def generate(self, request: GenerateRequest, entry: ModelEntry) -> AsyncGenerator[Piece, None]:
        """Run one call. Raises the errors of `errors.py`."""
        body, fold, patience = (
            to_request(request, entry, self._dialect),
            StreamFold(request, entry),
            Patience(entry),
        )
        try:
            async with aclosing(patience.with_events(self._chunks(body))) as chunks:
                async for chunk in chunks:
                    for piece in fold.add(chunk):
                        yield piece
        except (APIError, httpx2.HTTPError, ValueError) as error:  # ValueError: a chunk that is no JSON
            raise to_error(error, entry) from None
        yield fold.finish(waited_seconds=patience.waited_seconds)

    async def _chunks(self, body: Json) -> AsyncGenerator[Object, None]:
        async with await self._open(body) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _open(self, body: Json) -> AsyncStream[Object]:
        """Send the request; once more if the server closed a kept connection as we were about to use it."""
        asked = time.monotonic()
        try:
            return await self._post(body)
        except APIConnectionError as error:
            unheard = isinstance(error.__cause__, httpx2.RemoteProtocolError)
            if not unheard or time.monotonic() - asked > UNHEARD_SECONDS_MAX:
                raise
        return await self._post(body)

    async def _post(self, body: Json) -> AsyncStream[Object]:
        """As `chat.completions.create` does it, without copying and checking what is ours on the way."""
        chunks: AsyncStream[Any] = await self._client.post(
            "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=AsyncStream[object]
        )
        return chunks

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


def to_error(error: Exception, entry: Named) -> ServiceError:
    """Say in our words what went wrong."""
    if not isinstance(error, APIError) or isinstance(error, APIConnectionError):
        return broken_off(entry.alias, reached=not isinstance(error.__cause__, NEVER_REACHED))
    # Some servers repeat the status as the code, and put the code into the type.
    repeated = re.fullmatch(r"[45]\d\d", str(error.code or ""))
    code = str((error.type if repeated else error.code or error.type) or "")
    status, headers = int(repeated[0]) if repeated else IN_STREAM_STATUS, Headers()
    at_once = isinstance(error, APIStatusError)
    if isinstance(error, APIStatusError):
        status, headers = error.status_code, error.response.headers
    return refusal(entry.alias, status, code=code, text=error.message, headers=headers, at_once=at_once)
