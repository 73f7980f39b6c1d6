"""Takes documents into the knowledge base: cut, compared with what is known, embedded where new, put.

Nothing is done twice. A document whose content is on record under the same rules and model is left alone; of
one that changed, only chunks that no document of the tenant holds yet are embedded. Where documents come from
is `kb_sources`; rows and vectors are Astra's.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from aucert.astra.v1.knowledge_base_service_pb2 import (
    DeleteDocumentRequest,
    ListDocumentsRequest,
    PutDocumentRequest,
)
from aucert.astra.v1.knowledge_document_pb2 import KnowledgeDocument
from aucert.models.v1.embedding_pb2 import EMBEDDING_PURPOSE_DOCUMENT
from aucert.tools.v1.ingestion_service_pb2 import (
    INGEST_OUTCOME_DELETED,
    INGEST_OUTCOME_LEFT_OUT,
    INGEST_OUTCOME_STORED,
    INGEST_OUTCOME_UNCHANGED,
    IngestResult,
)
from services.common.errors import Invalid, from_rpc
from services.tools.embedding import Embedding, EmbeddingModel
from services.tools.kb_chunks import RULES, Chunk, chunks, first_heading

if TYPE_CHECKING:
    from aucert.astra.v1.knowledge_base_service_pb2_grpc import KnowledgeBaseServiceAsyncStub

CHUNKS_MAX = 1_500
"""Chunks of one document, which the contract bounds."""
TITLE_CHARS_MAX = 500
PUT_SECONDS = 60.0
PUTS_MAX = 3
"""Tries of a put: the first tells what is missing, a known vector may go before the second."""
PAGE_SIZE, PAGES_MAX = 200, 500


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its source tells it. An empty title is its first heading, or the end of its uri."""

    uri: str
    text: str
    markdown: bool
    title: str = ""
    url: str = ""


class Ingestion:
    """Takes documents in, for the tenant of the current call."""

    def __init__(self, knowledge: KnowledgeBaseServiceAsyncStub, embedding: Embedding) -> None:
        self._knowledge = knowledge
        self._embedding = embedding

    async def model(self) -> EmbeddingModel:
        """What documents are embedded with now."""
        return await self._embedding.model()

    async def known(self, prefix: str) -> dict[str, KnowledgeDocument]:
        """The documents on record whose uri begins so, by uri."""
        found: dict[str, KnowledgeDocument] = {}
        request = ListDocumentsRequest(uri_prefix=prefix, page_size=PAGE_SIZE)
        for _ in range(PAGES_MAX):
            page = await self._knowledge.ListDocuments(request)
            found |= {each.uri: each for each in page.documents}
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        return found

    async def ingest(
        self, document: Document, known: KnowledgeDocument | None, model: EmbeddingModel
    ) -> IngestResult:
        """Take a document in. One that cannot be taken says why; raises what makes others fail too."""
        digest = _digest(document)
        if known and (known.content_sha256, known.embedding_model) == (digest, model.alias):
            return IngestResult(uri=document.uri, outcome=INGEST_OUTCOME_UNCHANGED)
        parts = await asyncio.to_thread(chunks, document.text, markdown=document.markdown)
        if not parts:
            return left_out(document.uri, "it holds no text")
        if len(parts) > CHUNKS_MAX:
            return left_out(document.uri, f"it is too long: {len(parts):,} chunks, {CHUNKS_MAX:,} at most")
        request, texts = _request(document, digest, parts, model)
        try:
            return await self._put(request, texts, model)
        except grpc.aio.AioRpcError as error:
            failure = from_rpc(error)
            if isinstance(failure, Invalid):
                return left_out(document.uri, failure.message)
            raise

    async def delete(self, uri: str) -> IngestResult:
        """Delete a document that is gone at its source."""
        await self._knowledge.DeleteDocument(DeleteDocumentRequest(uri=uri))
        return IngestResult(uri=uri, outcome=INGEST_OUTCOME_DELETED)

    async def _put(
        self, request: PutDocumentRequest, texts: dict[str, str], model: EmbeddingModel
    ) -> IngestResult:
        result = IngestResult(uri=request.uri, outcome=INGEST_OUTCOME_STORED, chunk_count=len(request.chunks))
        for _ in range(PUTS_MAX):
            missing = (await self._knowledge.PutDocument(request, timeout=PUT_SECONDS)).missing_sha256
            if not missing:
                return result
            made = await self._embedding.embed_all(
                [texts[each] for each in missing], EMBEDDING_PURPOSE_DOCUMENT, model
            )
            vectors = dict(zip(missing, made.of_texts, strict=True))
            for chunk in request.chunks:
                chunk.vector.extend(vectors.get(chunk.embedded_sha256, ()))
            result.embedded_count += len(missing)
            result.cost_usd_micros += made.cost_usd_micros
        return left_out(request.uri, "it changed under our hands; try again")


def left_out(uri: str, problem: str) -> IngestResult:
    """A document that was not taken in, and why."""
    return IngestResult(uri=uri, outcome=INGEST_OUTCOME_LEFT_OUT, problem=problem)


def _digest(document: Document) -> str:
    told = (RULES, document.title, document.url, str(document.markdown), document.text)
    return hashlib.sha256("\0".join(told).encode()).hexdigest()


def _request(
    document: Document, digest: str, parts: Sequence[Chunk], model: EmbeddingModel
) -> tuple[PutDocumentRequest, dict[str, str]]:
    """The document as it is put, without vectors; and what is embedded of its chunks, by its digest."""
    heading = first_heading(document.text) if document.markdown else ""
    title = document.title or heading or document.uri.rstrip("/").rsplit("/", 1)[-1]
    request = PutDocumentRequest(
        uri=document.uri,
        title=title[:TITLE_CHARS_MAX],
        url=document.url,
        content_sha256=digest,
        embedding_model=model.alias,
        dimensions=model.dimensions,
    )
    texts: dict[str, str] = {}
    for part in parts:
        embedded = _embedded_text(title, part)
        known_by = hashlib.sha256(embedded.encode()).hexdigest()
        texts[known_by] = embedded
        request.chunks.add(
            heading=part.heading,
            text=part.text,
            first_line=part.first_line,
            last_line=part.last_line,
            embedded_sha256=known_by,
        )
    return request, texts


def _embedded_text(title: str, part: Chunk) -> str:
    """A chunk as a model reads it: below its headings, without which it may say little."""
    above = part.heading if part.heading.startswith(title) else f"{title} > {part.heading}".rstrip(" >")
    return f"{above}\n\n{part.text}"
