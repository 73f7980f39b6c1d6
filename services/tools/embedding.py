"""Has the models service embed texts: in batches it takes, with patience for a provider that is busy."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from aucert.models.v1.embedding_pb2 import (
    EmbeddingPurpose,
    EmbedRequest,
    EmbedResponse,
    ListEmbeddingModelsRequest,
)
from services.common.errors import Exhausted, ServiceError, Unavailable, from_rpc

if TYPE_CHECKING:
    from aucert.models.v1.model_service_pb2_grpc import ModelServiceAsyncStub

TEXTS_A_CALL = 64
CALL_SECONDS = 120.0
TRIES_MAX = 4
WAIT_SECONDS, WAIT_SECONDS_MAX = 1.0, 30.0


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The model that embeds here, and how many numbers its vectors have."""

    alias: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Vectors:
    """One vector a text, and what they cost in millionths of a US dollar."""

    of_texts: Sequence[Sequence[float]]
    cost_usd_micros: int


class Embedding:
    """The models service, as those who need vectors see it."""

    def __init__(self, models: ModelServiceAsyncStub) -> None:
        self._models = models

    async def model(self) -> EmbeddingModel:
        """The installation's embedding model."""
        listed = await self._models.ListEmbeddingModels(ListEmbeddingModelsRequest())
        (found,) = [each for each in listed.models if each.is_default]
        return EmbeddingModel(found.alias, found.dimensions)

    async def embed(
        self, texts: Sequence[str], purpose: EmbeddingPurpose.ValueType, *, alias: str = ""
    ) -> EmbedResponse:
        """Embed at most TEXTS_A_CALL texts, once."""
        request = EmbedRequest(model_alias=alias, texts=texts, purpose=purpose)
        return await self._models.Embed(request, timeout=CALL_SECONDS)

    async def embed_all(
        self, texts: Sequence[str], purpose: EmbeddingPurpose.ValueType, model: EmbeddingModel
    ) -> Vectors:
        """Embed any number of texts, waiting where the provider is busy or away for a moment.

        Raises ServiceError when that does not help.
        """
        vectors: list[Sequence[float]] = []
        cost_usd_micros = 0
        for first in range(0, len(texts), TEXTS_A_CALL):
            some = texts[first : first + TEXTS_A_CALL]
            answer = await self._patiently(some, purpose, model)
            vectors += [each.values for each in answer.embeddings]
            cost_usd_micros += answer.cost_usd_micros
        return Vectors(vectors, cost_usd_micros)

    async def _patiently(
        self, texts: Sequence[str], purpose: EmbeddingPurpose.ValueType, model: EmbeddingModel
    ) -> EmbedResponse:
        for tries_left in reversed(range(TRIES_MAX)):
            try:
                return await self.embed(texts, purpose, alias=model.alias)
            except grpc.aio.AioRpcError as error:
                failure = from_rpc(error)
                seconds = _wait_seconds(failure)
                if not tries_left or not 0 <= seconds <= WAIT_SECONDS_MAX:
                    raise failure from None
                await asyncio.sleep(seconds)
        raise AssertionError("the last try returns or raises")


def _wait_seconds(failure: ServiceError) -> float:
    """How long to wait before the call is worth repeating; negative: never."""
    if not isinstance(failure, Unavailable | Exhausted):
        return -1.0
    return failure.retry_after.total_seconds() if failure.retry_after else WAIT_SECONDS
