"""The knowledge base's tables: documents, and the chunks they are found by."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, literal_column, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from services.common.tables import Base, Id, Time

DIMENSIONS = (256, 384, 512, 768, 1024, 1536, 3072)
"""Lengths of vectors that are indexed, each by an index of its own."""
_EMPTY = text("''")


class HalfVector(UserDefinedType[str]):
    """pgvector's halfvec: numbers of two bytes, which a text stands for here, as in "[0.1,0.2]"."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Its name in SQL."""
        return "halfvec"


# So that Alembic knows it when it compares.
ischema_names["halfvec"] = HalfVector  # pyright: ignore[reportArgumentType] - a narrower type than theirs


def _near(dimensions: int) -> Index:
    return Index(
        f"kb_chunks_embedding_{dimensions}_idx",
        literal_column(f"(embedding::halfvec({dimensions}))").label("direction"),
        postgresql_using="hnsw",
        postgresql_ops={"direction": "halfvec_cosine_ops"},
        postgresql_where=text(f"dimensions = {dimensions}"),
    )


class KnowledgeDocument(Base):
    """A document, without its text. `uri` is its name, compared byte by byte so that a prefix is a range."""

    __tablename__ = "kb_documents"
    __table_args__ = (UniqueConstraint("tenant_id", "uri"),)

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id] = mapped_column(ForeignKey("tenants.id"))
    uri: Mapped[str] = mapped_column(Text(collation="C"))
    title: Mapped[str]
    url: Mapped[str] = mapped_column(server_default=_EMPTY)
    content_sha256: Mapped[str]
    embedding_model: Mapped[str]
    chunk_count: Mapped[int]
    ingested_time: Mapped[Time] = mapped_column(server_default=text("now()"))


class KnowledgeChunk(Base):
    """A part of a document, with its vector and its words."""

    __tablename__ = "kb_chunks"
    __table_args__ = (
        CheckConstraint("dimensions = vector_dims(embedding)", name="dimensions"),
        Index(None, "document_id"),
        Index("kb_chunks_known_idx", "tenant_id", "embedding_model", "embedded_sha256"),
        *(_near(dimensions) for dimensions in DIMENSIONS),
    )

    id: Mapped[Id] = mapped_column(primary_key=True)
    tenant_id: Mapped[Id]
    document_id: Mapped[Id] = mapped_column(ForeignKey("kb_documents.id", ondelete="CASCADE"))
    position: Mapped[int]
    heading: Mapped[str] = mapped_column(server_default=_EMPTY)
    text: Mapped[str]
    first_line: Mapped[int]
    last_line: Mapped[int]
    embedding_model: Mapped[str]
    embedded_sha256: Mapped[str]
    dimensions: Mapped[int]
    embedding: Mapped[str] = mapped_column(HalfVector)
    words: Mapped[str] = mapped_column(TSVECTOR)
