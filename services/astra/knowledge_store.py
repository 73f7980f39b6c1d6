"""The knowledge base's documents: put whole, listed, deleted. How they are found is `knowledge_search`'s."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from aucert.astra.v1.knowledge_base_service_pb2 import KnowledgeChunk, PutDocumentRequest
from aucert.astra.v1.knowledge_document_pb2 import KnowledgeDocument as DocumentMessage
from services.astra import convert
from services.astra.knowledge_tables import KnowledgeChunk as Chunk
from services.astra.knowledge_tables import KnowledgeDocument
from services.astra.storable import storable
from services.common.database import Database, Transaction
from services.common.statements import none_of, one_of

CHUNKS_A_STATEMENT = 100
"""An index of vectors grows by a few hundred rows a second, and a statement has ten seconds."""
_LAST_CHARACTER = "\U0010ffff"


class KnowledgeStore:
    """Documents and their chunks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(
        self, tenant_id: str, request: PutDocumentRequest
    ) -> tuple[DocumentMessage | None, list[str]]:
        """Store a document in place of the one of its uri; or None and the digests that lack a vector."""
        async with self._database.tenant(tenant_id) as connection:
            missing = await _missing(connection, request)
            if missing:
                return None, missing
            document = await _upsert(connection, tenant_id, request)
            ids = [str(uuid.uuid4()) for _ in request.chunks]
            for first in range(0, len(ids), CHUNKS_A_STATEMENT):
                some = slice(first, first + CHUNKS_A_STATEMENT)
                values = _columns(ids[some], request.chunks[some], first)
                known = {"tenant": tenant_id, "document": document.knowledge_document_id}
                of_model = {"model": request.embedding_model, "dimensions": request.dimensions}
                await connection.execute_sql(_INSERT, values | known | of_model)
            await connection.send(
                delete(Chunk).where(
                    Chunk.document_id == document.knowledge_document_id, none_of(Chunk.id, ids)
                )
            )
            return document, []

    async def delete(self, tenant_id: str, uri: str) -> bool:
        """Delete a document with its chunks; False: there is none."""
        statement = (
            delete(KnowledgeDocument).where(KnowledgeDocument.uri == uri).returning(KnowledgeDocument.id)
        )
        async with self._database.tenant(tenant_id) as connection:
            return (await connection.execute(statement)).one_or_none() is not None

    async def page(self, tenant_id: str, *, prefix: str, after: str, limit: int) -> list[DocumentMessage]:
        """Documents whose uri begins so, ordered by it, after one of them."""
        conditions: list[ColumnElement[bool]] = [KnowledgeDocument.uri > after]
        if prefix:
            conditions += [KnowledgeDocument.uri >= prefix, KnowledgeDocument.uri < prefix + _LAST_CHARACTER]
        statement = (
            select(KnowledgeDocument.__table__)
            .where(*conditions)
            .order_by(KnowledgeDocument.uri)
            .limit(limit)
        )
        async with self._database.tenant(tenant_id) as connection:
            return [document_message(row) for row in await connection.execute(statement)]


def document_message(row: Any) -> DocumentMessage:
    """A document as callers see it."""
    return DocumentMessage(
        knowledge_document_id=row.id,
        uri=row.uri,
        title=row.title,
        url=row.url,
        content_sha256=row.content_sha256,
        embedding_model=row.embedding_model,
        chunk_count=row.chunk_count,
        ingested_time=convert.timestamp(row.ingested_time),
    )


def vector_text(values: Sequence[float]) -> str:
    """A vector in pgvector's words."""
    return f"[{','.join(map(repr, values))}]"


async def _missing(connection: Transaction, request: PutDocumentRequest) -> list[str]:
    """Digests without a vector, given or known. Known ones stay until the transaction ends."""
    wanted = dict.fromkeys(each.embedded_sha256 for each in request.chunks if not each.vector)
    known = (
        select(Chunk.embedded_sha256)
        .where(
            Chunk.embedding_model == request.embedding_model,
            Chunk.dimensions == request.dimensions,
            one_of(Chunk.embedded_sha256, wanted),
        )
        .with_for_update(key_share=True, read=True)
    )
    found = set((await connection.execute(known)).scalars()) if wanted else set[str]()
    return [digest for digest in wanted if digest not in found]


async def _upsert(connection: Transaction, tenant_id: str, request: PutDocumentRequest) -> DocumentMessage:
    """Write the document's row; whoever puts the same document waits here until we are done."""
    values = {
        "title": storable(request.title),
        "url": storable(request.url),
        "content_sha256": request.content_sha256,
        "embedding_model": request.embedding_model,
        "chunk_count": len(request.chunks),
        "ingested_time": func.now(),
    }
    statement = (
        insert(KnowledgeDocument)
        .values(id=str(uuid.uuid4()), tenant_id=tenant_id, uri=request.uri, **values)
        .on_conflict_do_update(index_elements=["tenant_id", "uri"], set_=values)
        .returning(KnowledgeDocument.__table__)
    )
    return document_message((await connection.execute(statement)).one())


def _columns(ids: Sequence[str], chunks: Sequence[KnowledgeChunk], first: int) -> dict[str, Any]:
    return {
        "ids": ids,
        "positions": list(range(first, first + len(ids))),
        "headings": [storable(each.heading) for each in chunks],
        "texts": [storable(each.text) for each in chunks],
        "first_lines": [each.first_line for each in chunks],
        "last_lines": [each.last_line for each in chunks],
        "digests": [each.embedded_sha256 for each in chunks],
        "vectors": [vector_text(each.vector) if each.vector else None for each in chunks],
    }


_INSERT = b"""
    INSERT INTO kb_chunks (id, tenant_id, document_id, position, heading, text, first_line, last_line,
                           embedding_model, embedded_sha256, dimensions, embedding, words)
    SELECT n.id, %(tenant)s, %(document)s, n.position, n.heading, n.text, n.first_line, n.last_line,
           %(model)s, n.digest, %(dimensions)s,
           COALESCE(n.vector::halfvec, (
               SELECT known.embedding FROM kb_chunks known
               WHERE known.tenant_id = %(tenant)s AND known.embedding_model = %(model)s
                 AND known.embedded_sha256 = n.digest AND known.dimensions = %(dimensions)s
               LIMIT 1
           )),
           setweight(to_tsvector('english', n.heading), 'A') || to_tsvector('english', n.text)
    FROM unnest(%(ids)s::uuid[], %(positions)s::int[], %(headings)s::text[], %(texts)s::text[],
                %(first_lines)s::int[], %(last_lines)s::int[], %(digests)s::text[], %(vectors)s::text[])
         AS n (id, position, heading, text, first_line, last_line, digest, vector)
"""
