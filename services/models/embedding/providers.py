"""The providers of embeddings that are on, opened and closed. Nothing heavy is loaded before it is used."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from services.models.catalogue import resolved
from services.models.catalogue_file import ServerTable
from services.models.embedding.bedrock import CALL_SECONDS, BedrockEmbedder
from services.models.embedding.catalogue import EMBEDDED, EmbeddingCatalogue
from services.models.embedding.embedder import Embedder
from services.models.embedding.minilm import MiniLM
from services.models.installation import Servers
from services.models.settings import ModelsSettings


@asynccontextmanager
async def opened_embedders(
    catalogue: EmbeddingCatalogue, settings: ModelsSettings, servers: Servers
) -> AsyncGenerator[dict[str, Embedder], None]:
    """An embedder a provider that some model of the catalogue can be called by, until the block is left."""
    embedders: dict[str, Embedder] = {}
    async with AsyncExitStack() as stack:
        for entry in catalogue.entries.values():
            if entry.off_reason or entry.provider in embedders:
                continue
            embedders[entry.provider] = embedder = _embedder(entry.provider, settings, servers)
            stack.push_async_callback(embedder.aclose)
        yield embedders


def _embedder(provider: str, settings: ModelsSettings, servers: Servers) -> Embedder:
    if provider == EMBEDDED:
        return MiniLM()
    if provider == "bedrock":
        return BedrockEmbedder(lambda: _bedrock_client(settings))
    return _of_server(servers[provider], settings.variables)


def _bedrock_client(settings: ModelsSettings) -> Any:
    from services.models.bedrock_sender import bedrock_client  # noqa: PLC0415 - loads boto3

    return bedrock_client(settings, read_seconds=CALL_SECONDS)


def _of_server(server: ServerTable, variables: Mapping[str, str]) -> Embedder:
    from services.models.embedding.openai import OpenAIEmbedder  # noqa: PLC0415 - loads the SDK

    base_url, key = (resolved(each, variables, "server") for each in (server.base_url, server.api_key))
    return OpenAIEmbedder(base_url, key)
