"""ModelService: generate, list, resolve."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from aucert.models.v1 import model_service_pb2 as pb
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT
from aucert.models.v1.model_service_pb2_grpc import ModelServiceServicer
from services.common.errors import FieldInvalid
from services.models import convert
from services.models.catalogue import Catalogue
from services.models.coalescing import coalesce
from services.models.fallback import Authorship, FallbackCalls
from services.models.provider import Generation, Piece, Provider
from services.models.routing import resolve

if TYPE_CHECKING:
    from services.common.door import Context


class ModelServicer(ModelServiceServicer):
    """Serves the catalogue; `providers` are those that are on, by name."""

    def __init__(
        self, catalogue: Catalogue, providers: Mapping[str, Provider], *, default_alias: str
    ) -> None:
        self._catalogue = catalogue
        self._calls = FallbackCalls(providers)
        self._default_alias = default_alias

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        """Run one call and stream it; the end of this generator ends the provider's call."""
        del context
        if request.messages[-1].role == ROLE_ASSISTANT:
            raise FieldInvalid([("messages", "must end with a user or tool message")])
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
        entries = resolve(
            self._catalogue,
            operation=request.operation or "answer",
            tags=request.tags,
            alias=request.model_alias,
            default_alias=self._default_alias,
        )
        return pb.ResolveModelResponse(models=map(convert.model_to_proto, entries))


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
