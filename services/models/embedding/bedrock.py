"""Embeddings by Bedrock's InvokeModel, whose body each family of models has its own of.

`to_body` and `from_body` are pure; the rest sends, in bounded threads, since boto3 is synchronous.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aucert.models.v1.embedding_pb2 import EMBEDDING_PURPOSE_QUERY, EmbeddingPurpose
from services.models.dialogue import Json
from services.models.domain import EmbeddingEntry
from services.models.embedding.embedder import Embedded
from services.models.errors import ModelUnavailable

CALLS_MAX = 16
"""Calls under way at once, each of which holds a thread while it waits."""
CALL_SECONDS = 60.0
TOKENS_HEADER = "x-amzn-bedrock-input-token-count"


class BedrockEmbedder:
    """An Embedder. `make_client` takes a moment, so the first call makes the client, in its thread."""

    def __init__(self, make_client: Callable[[], Any]) -> None:
        self._make_client = make_client
        self._client: asyncio.Future[Any] | None = None
        self._threads = ThreadPoolExecutor(CALLS_MAX, thread_name_prefix="bedrock-embedding")

    async def embed(
        self, texts: Sequence[str], entry: EmbeddingEntry, purpose: EmbeddingPurpose.ValueType
    ) -> Embedded:
        """Embed some texts. Raises the errors of `errors.py`."""
        from services.models.bedrock_sender import FAILURES, to_error  # noqa: PLC0415 - loads boto3

        loop = asyncio.get_running_loop()
        self._client = self._client or loop.run_in_executor(self._threads, self._make_client)
        client = await asyncio.shield(self._client)
        body = json.dumps(to_body(texts, entry, purpose)).encode()
        try:
            answer, headers = await loop.run_in_executor(self._threads, _invoke, client, entry, body)
        except FAILURES as error:
            raise to_error(error, entry) from None
        return from_body(answer, headers, entry)

    async def aclose(self) -> None:
        """Close the connections, once the calls under way have ended."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        if self._client is not None and self._client.done() and not self._client.cancelled():
            self._client.result().close()


def to_body(texts: Sequence[str], entry: EmbeddingEntry, purpose: EmbeddingPurpose.ValueType) -> Json:
    """The request's body in the words of the model's family."""
    if entry.form == "titan":
        (text,) = texts
        sized = {"dimensions": entry.dimensions} if entry.asks_dimensions else {}
        return {"inputText": text, "normalize": True, **sized}
    query = purpose == EMBEDDING_PURPOSE_QUERY
    sized = {"output_dimension": entry.dimensions} if entry.asks_dimensions else {}
    return {
        "texts": list(texts),
        "input_type": "search_query" if query else "search_document",
        "truncate": "END",
        "embedding_types": ["float"],
        **sized,
    }


def from_body(answer: Any, headers: dict[str, str], entry: EmbeddingEntry) -> Embedded:
    """The vectors of an answer. Raises ModelUnavailable for one that makes no sense."""
    told = headers.get(TOKENS_HEADER, "")
    tokens = int(told) if told.isascii() and told.isdecimal() else None
    try:
        if entry.form == "titan":
            return Embedded([answer["embedding"]], answer.get("inputTextTokenCount", tokens))
        found = answer["embeddings"]
        return Embedded(found["float"] if isinstance(found, dict) else found, tokens)
    except (LookupError, TypeError, AttributeError):
        raise ModelUnavailable(f"The answer of {entry.alias} makes no sense.") from None


def _invoke(client: Any, entry: EmbeddingEntry, body: bytes) -> tuple[Any, dict[str, str]]:
    answer = client.invoke_model(
        modelId=entry.provider_model_id, body=body, contentType="application/json", accept="application/json"
    )
    try:
        return json.loads(answer["body"].read()), answer["ResponseMetadata"]["HTTPHeaders"]
    except ValueError:
        return None, {}
