"""Finding passages: by words and by vector, both orders fused.

Row-level security decides how each is done. An order by distance may use the index of its dimensions, with
the tenant's rows picked on the way. A match of words may use none: no condition that could leak a row sees it
before the tenant's policy let it through, so each of the tenant's chunks is looked at (docs/adr/0014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, text

from aucert.astra.v1.knowledge_document_pb2 import KnowledgePassage
from services.astra.knowledge_store import document_message, vector_text
from services.astra.knowledge_tables import DIMENSIONS, KnowledgeChunk, KnowledgeDocument
from services.astra.rank_fusion import Fused, fuse
from services.common.database import Database, Transaction
from services.common.statements import one_of

CANDIDATES_MAX = 60
"""Passages each way of looking may propose."""


class KnowledgeSearch:
    """Searches one tenant's chunks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(
        self, tenant_id: str, query: str, vector: Sequence[float], model: str, *, limit: int
    ) -> list[KnowledgePassage]:
        """The passages that fit best. Without a vector, by words alone; chunks of another model likewise."""
        async with self._database.tenant(tenant_id) as connection:
            by_words = await _ids(connection, _BY_WORDS, {"query": query})
            by_vector: list[str] = []
            if vector:
                await connection.send(_SCAN_ON)
                asked = {"vector": vector_text(vector), "model": model}
                by_vector = await _ids(connection, _by_vector(len(vector)), asked)
            best = fuse(by_words, by_vector)[:limit]
            return await _passages(connection, best)


async def _ids(connection: Transaction, query: bytes, parameters: dict[str, Any]) -> list[str]:
    known = {**parameters, "limit": CANDIDATES_MAX}
    return (await connection.execute_sql(query, known)).scalars()


async def _passages(connection: Transaction, best: Sequence[Fused]) -> list[KnowledgePassage]:
    statement = (
        select(
            KnowledgeDocument.__table__,
            KnowledgeChunk.id.label("chunk_id"),
            KnowledgeChunk.heading,
            KnowledgeChunk.text,
            KnowledgeChunk.first_line,
            KnowledgeChunk.last_line,
        )
        .join(KnowledgeChunk, KnowledgeChunk.document_id == KnowledgeDocument.id)
        .where(one_of(KnowledgeChunk.id, [each.key for each in best]))
    )
    rows = {row.chunk_id: row for row in await connection.execute(statement)}
    return [_passage(rows[each.key], each) for each in best if each.key in rows]


def _passage(row: Any, fused: Fused) -> KnowledgePassage:
    text_rank, vector_rank = fused.ranks
    return KnowledgePassage(
        document=document_message(row),
        heading=row.heading,
        text=row.text,
        first_line=row.first_line,
        last_line=row.last_line,
        score=fused.score,
        text_rank=text_rank,
        vector_rank=vector_rank,
    )


def _by_vector(dimensions: int) -> bytes:
    """The number stands in the text, not beside it: only so the partial index is known to apply."""
    assert dimensions in DIMENSIONS
    distance = f"embedding::halfvec({dimensions}) <=> %(vector)s::halfvec({dimensions})"
    return f"""
        SELECT id FROM kb_chunks
        WHERE dimensions = {dimensions} AND embedding_model = %(model)s
        ORDER BY {distance} LIMIT %(limit)s
    """.encode()  # noqa: S608 - a number of ours


_SCAN_ON = text(
    # Rows of other tenants and models are passed over, so the index is read on until enough are found.
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true) AS scan,"
    " set_config('hnsw.ef_search', '100', true) AS effort"
)
# Rare words count more, repetitions of one less and less (ts_rank), headings twice. Any of the words will do,
# for those of a question are seldom all in its answer.
_BY_WORDS = b"""
    WITH asked AS MATERIALIZED (
        SELECT quote_literal(lexeme)::tsquery AS word FROM unnest(to_tsvector('english', %(query)s))
    ),
    matching AS MATERIALIZED (
        SELECT id, words FROM kb_chunks
        WHERE words @@ (SELECT string_agg(word::text, ' | ')::tsquery FROM asked)
    ),
    found AS MATERIALIZED (
        SELECT id, word::text AS word, ts_rank('{0.3, 0.3, 0.3, 0.6}', words, word) AS often
        FROM matching JOIN asked ON matching.words @@ asked.word
    ),
    weighed AS MATERIALIZED (
        SELECT word, ln(1 + (SELECT count(*) FROM kb_chunks) / count(*)::float) AS rarity
        FROM found GROUP BY word
    )
    SELECT id FROM found JOIN weighed USING (word)
    GROUP BY id ORDER BY sum(rarity * often) DESC, id LIMIT %(limit)s
"""
