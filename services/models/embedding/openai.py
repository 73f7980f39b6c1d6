"""Embeddings by any server with OpenAI's /embeddings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx2
from openai import APIError, AsyncOpenAI, omit

from aucert.models.v1.embedding_pb2 import EmbeddingPurpose
from services.models.domain import EmbeddingEntry
from services.models.embedding.embedder import Embedded
from services.models.errors import ModelUnavailable
from services.models.openai_sender import TIMEOUT, to_error
from services.models.tokens import counted

CALL_SECONDS = 60.0


class OpenAIEmbedder:
    """An Embedder behind one base URL."""

    def __init__(self, base_url: str, api_key: str) -> None:
        # The SDK insists on a key; a server that asks for none ignores it.
        self._client = AsyncOpenAI(
            base_url=base_url, api_key=api_key or "none", max_retries=0, timeout=TIMEOUT
        )

    async def embed(
        self, texts: Sequence[str], entry: EmbeddingEntry, purpose: EmbeddingPurpose.ValueType
    ) -> Embedded:
        """Embed some texts. Raises the errors of `errors.py`."""
        del purpose  # the API makes no difference
        try:
            async with asyncio.timeout(CALL_SECONDS):
                answer = await self._client.embeddings.create(
                    model=entry.provider_model_id,
                    input=list(texts),
                    encoding_format="float",
                    dimensions=entry.dimensions if entry.asks_dimensions else omit,
                )
        except TimeoutError:
            raise ModelUnavailable(f"{entry.alias} did not answer within {CALL_SECONDS:g} seconds.") from None
        except (APIError, httpx2.HTTPError, ValueError) as error:  # ValueError: an answer that is no JSON
            raise to_error(error, entry) from None
        in_order = sorted(answer.data or (), key=lambda each: each.index)
        usage = getattr(answer, "usage", None)
        return Embedded([each.embedding for each in in_order], counted(getattr(usage, "prompt_tokens", None)))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()
