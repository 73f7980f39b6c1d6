"""One streamed call through each contender, timed where its caller sits."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from openai import AsyncOpenAI

from aucert.models.v1.message_pb2 import ROLE_USER, Message, Part
from aucert.models.v1.model_service_pb2 import GenerateRequest
from scripts.models_bench.endpoint import CHUNKS, WORD

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub

PROMPT = "Say fifty words."
CALL_SECONDS_MAX = 30.0
Call: TypeAlias = Callable[[str], Awaitable["Timing"]]


class WrongResult(Exception):
    """A call did not bring the whole answer."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds from the call to its first text and to its end."""

    first_ms: float
    total_ms: float


async def timed(texts: AsyncIterator[str]) -> Timing:
    """Read an answer to its end. Raises WrongResult if any of it is missing."""
    began, first, found = time.perf_counter(), 0.0, 0
    async for text in texts:
        if text and not first:
            first = time.perf_counter()
        found += len(text)
    ended = time.perf_counter()
    if found != CHUNKS * len(WORD):
        raise WrongResult(f"{found} characters of {CHUNKS * len(WORD)}")
    return Timing((first - began) * 1000, (ended - began) * 1000)


def by_sdk(client: AsyncOpenAI) -> Call:
    """The openai SDK, straight or through a proxy, as its client is set up."""

    async def texts(model: str) -> AsyncIterator[str]:
        chunks = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": PROMPT}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in chunks:
            for choice in chunk.choices:
                yield choice.delta.content or ""

    return lambda model: timed(texts(model))


def by_astra(stub: ModelServiceAsyncStub) -> Call:
    """ModelService.Generate over gRPC."""

    async def texts(model: str) -> AsyncIterator[str]:
        said = Message(role=ROLE_USER, parts=[Part(text=PROMPT)])
        request = GenerateRequest(model_alias=model, messages=[said])
        async for piece in stub.Generate(request, timeout=CALL_SECONDS_MAX):
            yield piece.text_delta

    return lambda model: timed(texts(model))
