"""Any number of texts through a provider that takes some at once: in batches, in parallel, in order.

Texts of like length go together, since a batch costs as much as its longest text. What comes back is held
against the catalogue: a vector of other dimensions could not be compared with those it is stored beside.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

from aucert.models.v1.embedding_pb2 import Embedding, EmbeddingModel, EmbedRequest, EmbedResponse
from services.models.cost import TOKENS_PER_PRICE
from services.models.domain import EmbeddingEntry
from services.models.embedding.catalogue import EmbeddingCatalogue
from services.models.embedding.embedder import Embedded, Embedder
from services.models.errors import ModelRefused
from services.models.tokens import BYTES_PER_TOKEN

PARALLEL_CALLS = 8
"""Calls of a provider under way for one request."""


class EmbeddingCalls:
    """Embeds requests by the catalogue; `embedders` by provider."""

    def __init__(self, catalogue: EmbeddingCatalogue, embedders: Mapping[str, Embedder]) -> None:
        self._catalogue = catalogue
        self._embedders = embedders

    def models(self) -> list[EmbeddingModel]:
        """The catalogue as callers see it."""
        return [
            EmbeddingModel(
                alias=entry.alias,
                provider=entry.provider,
                provider_model_id=entry.provider_model_id,
                dimensions=entry.dimensions,
                usd_micros=entry.usd_micros,
                is_default=entry.alias == self._catalogue.default_alias,
                off_reason=entry.off_reason,
            )
            for _, entry in sorted(self._catalogue.entries.items())
        ]

    async def embed(self, request: EmbedRequest) -> EmbedResponse:
        """Embed the texts. Raises ModelNotFound, ModelOff and what the provider raises."""
        entry = self._catalogue.callable_entry(request.model_alias)
        texts = [text[: entry.text_chars_max] for text in request.texts]
        places = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        size = entry.texts_a_call
        batches = [places[first : first + size] for first in range(0, len(places), size)]
        answers = await self._answers(
            [[texts[place] for place in batch] for batch in batches], entry, request
        )
        vectors: dict[int, Sequence[float]] = {}
        for batch, answer in zip(batches, answers, strict=True):
            vectors.update(zip(batch, answer.vectors, strict=True))
        tokens = sum(
            _estimated([texts[place] for place in batch]) if answer.tokens is None else answer.tokens
            for batch, answer in zip(batches, answers, strict=True)
        )
        shortened = sum(len(text) > entry.text_chars_max for text in request.texts)
        return EmbedResponse(
            embeddings=[Embedding(values=vectors[place]) for place in range(len(texts))],
            model_alias=entry.alias,
            dimensions=entry.dimensions,
            tokens_input=tokens,
            cost_usd_micros=-(-tokens * entry.usd_micros // TOKENS_PER_PRICE),
            cut_text_count=max(shortened, sum(answer.cut for answer in answers)),
        )

    async def _answers(
        self, batches: Sequence[Sequence[str]], entry: EmbeddingEntry, request: EmbedRequest
    ) -> list[Embedded]:
        """All calls' answers; the first that fails ends the others."""
        embedder, places = self._embedders[entry.provider], asyncio.Semaphore(PARALLEL_CALLS)

        async def answer(texts: Sequence[str]) -> Embedded:
            async with places:
                embedded = await embedder.embed(texts, entry, request.purpose)
            _check(embedded, len(texts), entry)
            return embedded

        calls = [asyncio.create_task(answer(texts)) for texts in batches]
        try:
            return await asyncio.gather(*calls)
        finally:
            for call in calls:
                call.cancel()


def _check(embedded: Embedded, count: int, entry: EmbeddingEntry) -> None:
    """Raise ModelRefused for an answer that is not what the catalogue says of the model."""
    if len(embedded.vectors) != count:
        raise ModelRefused(f"{entry.alias} answered {len(embedded.vectors)} vectors for {count} texts.")
    for vector in embedded.vectors:
        if len(vector) != entry.dimensions:
            raise ModelRefused(
                f"{entry.alias} makes vectors of {len(vector)} dimensions, and the catalogue says "
                f"{entry.dimensions}: correct the entry."
            )
        if not math.isfinite(sum(vector)):
            raise ModelRefused(f"{entry.alias} answered a vector that holds no numbers.")


def _estimated(texts: Sequence[str]) -> int:
    return -(-sum(len(text.encode()) for text in texts) // BYTES_PER_TOKEN)
