"""ModelService: generate, count, list, resolve, embed."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from aucert.models.v1 import model_service_pb2 as pb
from aucert.models.v1.embedding_pb2 import (
    EmbedRequest,
    EmbedResponse,
    ListEmbeddingModelsRequest,
    ListEmbeddingModelsResponse,
)
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, Message
from aucert.models.v1.model_service_pb2_grpc import ModelServiceServicer
from services.common.errors import FieldInvalid
from services.models import convert
from services.models.catalogue import Catalogue
from services.models.coalescing import coalesce
from services.models.counting import count
from services.models.embedding.calls import EmbeddingCalls
from services.models.fallback import Authorship, FallbackCalls
from services.models.limits import ModelLimits
from services.models.provider import Generation, Piece, Provider
from services.models.routing import Asked, resolve
from services.models.tenant_defaults import TenantDefaults

if TYPE_CHECKING:
    from services.common.door import Context


class ModelServicer(ModelServiceServicer):
    """Serves the catalogue; `providers` are those that are on, by name."""

    def __init__(
        self,
        catalogue: Catalogue,
        providers: Mapping[str, Provider],
        *,
        default_alias: str,
        defaults: TenantDefaults,
        embeddings: EmbeddingCalls,
        limits: ModelLimits | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._providers = providers
        self._calls = FallbackCalls(providers, limits=limits)
        self._default_alias = default_alias
        self._defaults = defaults
        self._embeddings = embeddings

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Run one call and stream it; the end of this generator ends the provider's call."""
        del context
        _check_end(request.messages)
        entry = self._catalogue.callable_entry(request.model_alias)
        authorship = Authorship(entry)
        pieces = self._calls.generate(request, self._catalogue.chain(entry), authorship)
        async with aclosing(_responses(pieces, authorship)) as responses:
            async for response in responses:
                yield response

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """List the catalogue."""
        del request, context
        return pb.ListModelsResponse(models=map(convert.model_to_proto, self._catalogue.entries))

    async def ResolveModel(
        self, request: pb.ResolveModelRequest, context: Context
    ) -> pb.ResolveModelResponse:
        """Say which models a comment asks for."""
        del context
        asked = Asked(
            operation=request.operation or "answer",
            tags=request.tags,
            alias=request.model_alias,
            agent_slug=request.agent_slug,
            defaults=await self._defaults.of_caller(),
        )
        entries = resolve(self._catalogue, asked, default_alias=self._default_alias)
        return pb.ResolveModelResponse(models=map(convert.model_to_proto, entries))

    async def ListEmbeddingModels(
        self, request: ListEmbeddingModelsRequest, context: Context
    ) -> ListEmbeddingModelsResponse:
        """List the embedding models."""
        del request, context
        return ListEmbeddingModelsResponse(models=self._embeddings.models())

    async def CountTokens(self, request: pb.CountTokensRequest, context: Context) -> pb.CountTokensResponse:
        """Count what a call would read."""
        del context
        _check_end(request.messages)
        entry = self._catalogue.callable_entry(request.model_alias)
        call = pb.GenerateRequest(system=request.system, messages=request.messages, tools=request.tools)
        return await count(self._providers[entry.provider], call, entry)

    async def Embed(self, request: EmbedRequest, context: Context) -> EmbedResponse:
        """Turn texts into vectors."""
        del context
        return await self._embeddings.embed(request)


def _check_end(messages: Sequence[Message]) -> None:
    if messages[-1].role == ROLE_ASSISTANT:
        raise FieldInvalid([("messages", "must end with a user or tool message")])


async def _responses(
    pieces: AsyncGenerator[Piece, None], authorship: Authorship
) -> AsyncGenerator[pb.GenerateResponse, None]:
    started = time.monotonic()
    sending_seconds = 0.0
    async with aclosing(coalesce(pieces)) as coalesced:
        async for piece in coalesced:
            if isinstance(piece, Generation):
                spent = time.monotonic() - started - sending_seconds - piece.waited_seconds
                yield convert.finished_to_proto(
                    piece,
                    authorship.entry,
                    authorship.passed_over,
                    overhead_us=max(0, round(spent * 1_000_000)),
                )
                return
            before = time.monotonic()
            yield convert.delta_to_proto(piece)
            sending_seconds += time.monotonic() - before
